import { isIPv4, isIPv6 } from "node:net"

/** A block of addresses: those whose first `bits` bits are the block's. */
interface Block {
  readonly words: readonly number[]
  readonly bits: number
}

/** A block of IPv4 or IPv6 addresses as a function over texts; undefined where it is no such block. */
export function compileCidr(text: string): ((address: string) => boolean) | undefined {
  const block = parseBlock(text)
  if (block === undefined) return undefined
  const { words, bits } = block
  return (address) => {
    const other = wordsOf(address)
    if (other === undefined || other.length !== words.length) return false
    for (let i = 0, left = bits; left > 0; i++, left -= 16) {
      const mask = left >= 16 ? 0xffff : (0xffff << (16 - left)) & 0xffff
      if ((words[i]! & mask) !== (other[i]! & mask)) return false
    }
    return true
  }
}

function parseBlock(text: string): Block | undefined {
  const match = /^([0-9A-Fa-f.:]+)\/([0-9]{1,3})$/.exec(text)
  const words = match && wordsOf(match[1]!)
  if (!words) return undefined
  const bits = Number(match[2])
  return bits <= words.length * 16 ? { words, bits } : undefined
}

/** Characters of the longest address. */
const addressMax = 45

/** An address as 16-bit words: two of IPv4, eight of IPv6. */
function wordsOf(text: string): readonly number[] | undefined {
  if (text.length > addressMax) return undefined
  if (isIPv4(text)) return wordsOfV4(text)
  if (!isIPv6(text) || text.includes("%")) return undefined
  const dotted = text.lastIndexOf(":")
  const tail = text.slice(dotted + 1)
  const v4 = tail.includes(".") ? wordsOfV4(tail) : []
  const hex = tail.includes(".") ? text.slice(0, dotted + (text[dotted - 1] === ":" ? 1 : 0)) : text
  const [before = "", after] = hex.split("::")
  const head = groupsOf(before)
  if (after === undefined) return [...head, ...v4]
  const rest = [...groupsOf(after), ...v4]
  return [...head, ...new Array<number>(8 - head.length - rest.length).fill(0), ...rest]
}

function wordsOfV4(text: string): number[] {
  const [a, b, c, d] = text.split(".").map(Number) as [number, number, number, number]
  return [(a << 8) | b, (c << 8) | d]
}

function groupsOf(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16))
}
