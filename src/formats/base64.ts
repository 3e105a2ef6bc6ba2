const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
const values = new Uint8Array(256).fill(255)
for (let i = 0; i < 64; i++) values[alphabet.charCodeAt(i)] = i

/** Decodes base64 (RFC 4648, section 4): padded, nothing but its alphabet, unused bits zero. Undefined: it is not that. */
export function decodeBase64(text: string): Buffer | undefined {
  const length = text.length
  if (length % 4 !== 0) return undefined
  let end = length
  if (length > 0 && text.charCodeAt(length - 1) === 0x3d)
    end = text.charCodeAt(length - 2) === 0x3d ? length - 2 : length - 1
  for (let i = 0; i < end; i++) {
    const code = text.charCodeAt(i)
    if (code > 255 || values[code] === 255) return undefined
  }
  const unused = end === length ? 0 : end === length - 1 ? 3 : 15
  if (unused !== 0 && (values[text.charCodeAt(end - 1)]! & unused) !== 0) return undefined
  return Buffer.from(text, "base64")
}
