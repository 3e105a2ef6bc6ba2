/**
 * What work comes to, for who does not wait for it any longer than to the signal: undefined then. The work goes on for others;
 * where it fails, so does this, unless nobody waits any more.
 */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise<T | undefined>((resolve, reject) => {
    const abort = () => resolve(undefined)
    const over = () => signal.removeEventListener("abort", abort)
    signal.addEventListener("abort", abort, { once: true })
    work.finally(over).then(resolve, reject)
  })
}
