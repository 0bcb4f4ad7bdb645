/** Loaded into a service by the section `keys`, with --expose-gc: answers each message with the bytes that are in use. */

process.on('message', () => {
  // The second collects what the finalizers of the first have let go.
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  process.send?.(heapUsed + external);
});
// So that the service still ends once it has nothing to do.
process.channel?.unref();
