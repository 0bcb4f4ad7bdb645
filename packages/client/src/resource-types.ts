/** The shapes of keys and freezes, as docs/http-api.md has them, and what can be done with them. */

import type { AskOptions } from './types.ts';

/** A part of a list. */
export interface Page<Item> {
  readonly items: readonly Item[];
  /** For the next page; null at the end. */
  readonly nextCursor: string | null;
}

export interface PageQuery {
  /** 1-200; 50 unless told. */
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
}

/** What facts.yaml of the live policy declares. */
export type Attributes = Readonly<Record<string, string | boolean | readonly string[]>>;

export interface KeyLimit {
  readonly requests: number;
  readonly windowSeconds: number;
}

export interface ApiKey {
  readonly id: string;
  readonly userId: string;
  readonly friendlyName: string;
  /** First and last characters. */
  readonly hint: string;
  readonly allowUserManagementApiRequests: boolean;
  readonly restrictedBusinessIds: readonly string[] | null;
  readonly environment: string;
  readonly rateLimit: KeyLimit | null;
  readonly attributes: Attributes;
  /** Times are RFC 3339 in UTC. */
  readonly createdAt: string;
  readonly expiresAt: string | null;
  readonly revokedAt: string | null;
  readonly revokedReason: string | null;
  readonly rotatedFrom: string | null;
  readonly rotatedTo: string | null;
  /** Up to a minute behind. */
  readonly lastUsedAt: string | null;
  readonly status: 'active' | 'expired' | 'revoked';
}

/** What a PATCH may change. What is absent stays. */
export interface KeyChanges {
  readonly friendlyName?: string | undefined;
  readonly allowUserManagementApiRequests?: boolean | undefined;
  readonly restrictedBusinessIds?: readonly (string | number)[] | null | undefined;
  readonly environment?: string | undefined;
  readonly expiresAt?: string | null | undefined;
  readonly rateLimit?: KeyLimit | null | undefined;
  readonly attributes?: Attributes | undefined;
}

export interface KeyWanted extends KeyChanges {
  readonly userId: string | number;
  readonly friendlyName: string;
  readonly allowUserManagementApiRequests: boolean;
}

/** A key, and the version that `ifMatch` takes. */
export interface VersionedKey {
  readonly key: ApiKey;
  readonly etag: string;
}

/** A new key. */
export interface NewKey extends VersionedKey {
  /** In clear, this once. */
  readonly apiKey: string;
}

/**
 * API keys (scope `keys`; `keys:read` to look). All throw as `authorize`: a BadQuestion has the code NOT_FOUND where there is no such key. A
 * change is sent once: after Unavailable or TimedOut it may have been made. Look before you make it again.
 */
export interface Keys {
  readonly create: (wanted: KeyWanted, options?: AskOptions) => Promise<NewKey>;
  readonly get: (id: string, options?: AskOptions) => Promise<VersionedKey>;
  readonly list: (
    query?: PageQuery & { readonly userId?: string | undefined },
    options?: AskOptions,
  ) => Promise<Page<ApiKey>>;
  /** With `ifMatch`, only the version that was read: else the code is PRECONDITION_FAILED. */
  readonly update: (
    id: string,
    changes: KeyChanges,
    options?: AskOptions & { readonly ifMatch?: string | undefined },
  ) => Promise<VersionedKey>;
  /** The old one works for the overlap, then expires. */
  readonly rotate: (
    id: string,
    how?: { readonly overlapSeconds?: number | undefined },
    options?: AskOptions,
  ) => Promise<NewKey>;
  readonly revoke: (
    id: string,
    how?: { readonly reason?: string | null | undefined },
    options?: AskOptions,
  ) => Promise<VersionedKey>;
  readonly delete: (id: string, options?: AskOptions) => Promise<void>;
}

export interface Freeze {
  readonly id: string;
  /** A pattern, such as `call:*`; null: any. */
  readonly action: string | null;
  readonly apiKeyId: string | null;
  readonly userId: string | null;
  readonly businessId: string | null;
  /** Public. */
  readonly reason: string;
  readonly createdAt: string;
  readonly until: string;
  readonly liftedAt: string | null;
  readonly status: 'in force' | 'ended' | 'lifted';
}

/** When a freeze ends: one of them. */
export type FreezeEnd =
  | { readonly until: string; readonly forSeconds?: undefined }
  | { readonly forSeconds: number; readonly until?: undefined };

export type FreezeWanted = FreezeEnd & {
  readonly action?: string | undefined;
  readonly apiKeyId?: string | undefined;
  readonly userId?: string | undefined;
  readonly businessId?: string | undefined;
  readonly reason: string;
  /** Needed, and true, where nothing is named. */
  readonly everything?: boolean | undefined;
};

/** Freezes (scope `freeze`). All throw as `authorize`. */
export interface Freezes {
  readonly create: (wanted: FreezeWanted, options?: AskOptions) => Promise<Freeze>;
  readonly get: (id: string, options?: AskOptions) => Promise<Freeze>;
  readonly list: (
    query?: PageQuery & { readonly inForce?: boolean | undefined },
    options?: AskOptions,
  ) => Promise<Page<Freeze>>;
  readonly extend: (id: string, end: FreezeEnd, options?: AskOptions) => Promise<Freeze>;
  readonly lift: (id: string, options?: AskOptions) => Promise<void>;
}
