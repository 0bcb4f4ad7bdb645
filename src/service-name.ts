/** What this service is called, in its log and in traces, where nobody has named it otherwise. */
export const SERVICE = 'iqra-authz';
