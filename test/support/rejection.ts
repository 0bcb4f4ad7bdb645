/** The error that a promise ends with; resolves instead of rejecting, and fails when there is none. */
export async function rejection(promise: PromiseLike<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('expected a rejection, and there was none');
}
