/** `authz gateway explain`: which route of gateway.yaml a request of a gateway has, and what it asks for; or why it is denied. */

import type { Command } from 'commander';
import type { Policy } from '../../policy/decide.ts';
import { businessOf, type GatewayRoute, meaningOf, requestsOf, routeOf } from '../../policy/declared/gateway.ts';
import { type JsonOption, verb } from '../terminal/options.ts';
import { escaped } from '../terminal/output.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { folderOf, readSource } from './source.ts';

interface Options extends JsonOption {
  readonly policy?: string;
}

/** What is asked for, or why nothing is. */
interface Explanation {
  readonly route: { readonly line: number; readonly requests: string; readonly means: string } | null;
  readonly action: string | null;
  readonly businessId: string | null;
  /** The header that names the business. */
  readonly businessHeader: string | null;
  /** Why it is denied without a decision; and what its client is told. */
  readonly reason: string | null;
  readonly message: string | null;
}

/** Adds the verb `explain` of `gateway`. */
export function addGatewayVerbs(gateway: Command, terminal: Terminal): void {
  verb(
    gateway,
    'explain <method> <url>',
    'say which action and business a request of a gateway asks about, by which route; exit code 1: it is denied as it stands',
    'explain GET "https://api.example.com/v1/businesses/bakery/calls/7?full=1"',
  )
    .option('--policy <dir>', 'the policy folder; default: POLICY_DIR')
    .action(async (method: string, url: string, { policy: folder, json }: Options) => {
      const { policy } = await readSource(folderOf(terminal, folder));
      const explanation = explain(policy, method, targetOf(url));
      if (json) terminal.printJson(explanation);
      else terminal.print(textOf(explanation));
      terminal.exitUnless(explanation.reason === null);
    });
}

/** As it stands in the request line. Not parsed: that would mend what is to be explained. */
const targetOf = (url: string): string => url.replace(/^https?:\/\/[^/?#]*/i, '') || '/';

function explain({ gateway }: Policy, method: string, target: string): Explanation {
  const nothing = { route: null, action: null, businessId: null, businessHeader: null };
  const routed = routeOf(gateway, method, target);
  if ('reason' in routed) return { ...nothing, reason: routed.reason, message: routed.says };
  const { route } = routed;
  const shown = { line: route.line, requests: requestsOf(route), means: meaningOf(route) };
  const header = headerOf(route);
  // What stands in a header is not known here.
  const business = header === null ? businessOf(routed, () => []) : { id: undefined };
  if ('reason' in business) return { ...nothing, route: shown, reason: business.reason, message: business.says };
  const { action } = route;
  return { route: shown, action, businessId: business.id ?? null, businessHeader: header, reason: null, message: null };
}

const headerOf = ({ business }: GatewayRoute): string | null =>
  business && 'header' in business ? business.header : null;

function textOf({ route, action, businessId, businessHeader, reason, message }: Explanation): string {
  const by = route ? [`  by line ${route.line} of gateway.yaml: ${route.requests} -> ${route.means}`] : [];
  const about =
    businessHeader !== null
      ? `on the business that the header ${businessHeader} names`
      : businessId !== null
        ? `on the business ${businessId}`
        : 'on no business';
  const says = reason === null ? `asks for ${action} ${about}` : `denied without a decision (${reason}): ${message}`;
  return [says, ...by].map(escaped).join('\n');
}
