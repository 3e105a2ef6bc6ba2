/** Without spaces and tabs around it. Of other bytes that some take for blank none is, in a header's value (RFC 9110, 5.6.3). */
export function withoutBlanks(text: string): string {
  let [from, to] = [0, text.length]
  while (from < to && isBlank(text, from)) from++
  while (to > from && isBlank(text, to - 1)) to--
  return from === 0 && to === text.length ? text : text.slice(from, to)
}

function isBlank(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return code === 0x20 || code === 0x09
}
