import { isUtf8 } from "node:buffer"

/** The text that bytes are in UTF-8; where they are none, the place of the first byte that does not belong there. */
export function decodeUtf8(bytes: Buffer): string | number {
  const text = bytes.toString()
  if (isUtf8(bytes)) return text
  const kept = Buffer.from(text)
  const differs = bytes.findIndex((byte, at) => byte !== kept[at])
  const at = differs < 0 ? bytes.length : differs
  // U+FFFD stands for what does not belong, and begins with the same bytes as some of it.
  const lead = bytes.subarray(0, at).lastIndexOf(0xef)
  return lead >= 0 && lead >= at - 2 ? lead : at
}
