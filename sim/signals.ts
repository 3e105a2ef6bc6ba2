/**
 * In place of AbortSignal.any: Node keeps what that makes until it is aborted, and all that listens to it, while here a hub that dies
 * is to be forgotten with its signals, thousands of times.
 */
export function useForgettableSignals(): void {
  AbortSignal.any = anyOf
}

function anyOf(signals: Iterable<AbortSignal>): AbortSignal {
  const all = [...signals]
  const first = all.find(({ aborted }) => aborted)
  if (first) return AbortSignal.abort(first.reason)
  const any = new AbortController()
  for (const signal of all) signal.addEventListener("abort", () => any.abort(signal.reason), { once: true })
  return any.signal
}
