/** What a header value cannot hold as it is: all but U+0021 to U+007E, and `"` and `%`. */
const encoded = /[^\x21\x23\x24\x26-\x7e]/
const encodedAll = /[^\x21\x23\x24\x26-\x7e]+/g
const quoted = /^"(?:[^"\\]|\\.)*"$/

/** A text as a header value of the CloudEvents HTTP binding (3.1.3.2). It has no lone surrogates. */
export function percentEncode(text: string): string {
  return encoded.test(text) ? text.replace(encodedAll, encodeRun) : text
}

function encodeRun(run: string): string {
  // encodeURIComponent leaves these alone, but none of them is in a run: A-Z a-z 0-9 - _ . ! ~ * ' ( )
  return encodeURIComponent(run)
}

/** The text of a header value; undefined where it is not ASCII or its percent-coding is not that of UTF-8. */
export function percentDecode(value: string): string | undefined {
  if (!ascii.test(value)) return undefined
  const text = value.charCodeAt(0) === 0x22 && quoted.test(value) ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value
  if (!text.includes("%")) return text
  try {
    return decodeURIComponent(text)
  } catch {
    // URIError: a % without its two digits, or bytes that are not UTF-8.
    return undefined
  }
}

const ascii = /^[\t\x20-\x7e]*$/
