/** What work comes to, for who does not wait for it any longer than to the signal: undefined then. The work goes on for others. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve) => {
    const abort = () => resolve(undefined)
    signal.addEventListener("abort", abort, { once: true })
    void work.then((value) => {
      signal.removeEventListener("abort", abort)
      resolve(value)
    })
  })
}
