import ipaddr from "ipaddr.js"

type Ip = ipaddr.IPv4 | ipaddr.IPv6

/** Which addresses beside the public ones webhooks may reach. */
export interface GuardSettings {
  /** 127.0.0.0/8 and ::1. */
  readonly allowLoopback: boolean
  /** 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 and fc00::/7; not link-local ones, where clouds keep credentials. */
  readonly allowPrivate: boolean
  /** Addresses and CIDR ranges (`10.1.0.0/16`) that may be reached whatever they are. */
  readonly allow: readonly string[]
}

/** Keeps webhooks from reaching what only the hub's own machine or network should reach. */
export interface AddressGuard {
  /** Why `address` may not be connected to, and what would allow it; undefined where it may. */
  refusal(address: string): string | undefined
}

/** Throws RangeError for a text in `allow` that is no address or range. */
export function createAddressGuard(settings: GuardSettings): AddressGuard {
  const allowed = settings.allow.map((text) => {
    const range = parseRange(text)
    if (range === undefined) throw new RangeError(`not an address or CIDR range: ${JSON.stringify(text)}`)
    return range
  })
  const isListed = (ip: Ip) =>
    allowed.some(([network, bits]) => network.kind() === ip.kind() && ip.match(network, bits))
  return {
    refusal(address) {
      const ip = parseIp(address)
      if (ip === undefined) return `${address} is no IP address`
      const inner = ip.kind() === "ipv6" ? embedded(ip as ipaddr.IPv6) : undefined
      const range = rangeOf(inner ?? ip)
      if (range === "unicast") return undefined
      if (range === "loopback" && settings.allowLoopback) return undefined
      if ((range === "private" || range === "uniqueLocal") && settings.allowPrivate) return undefined
      if (isListed(ip) || (inner !== undefined && isListed(inner))) return undefined
      const what = names[range] ?? "a reserved address"
      const through = inner === undefined ? "" : ` (it leads to ${inner})`
      const setting = settingsFor[range] === undefined ? "" : `the setting ${settingsFor[range]}, or `
      return `${address} is refused: ${what}${through}; ${setting}${inner ?? ip} in the setting destinations.allow, would allow it`
    },
  }
}

const names: Readonly<Record<string, string>> = {
  loopback: "a loopback address",
  private: "a private address",
  uniqueLocal: "a private address",
  linkLocal: "a link-local address",
  carrierGradeNat: "a carrier-grade NAT address",
  unspecified: "an unspecified address",
  multicast: "a multicast address",
  broadcast: "a broadcast address",
}

const settingsFor: Readonly<Record<string, string>> = {
  loopback: "destinations.allowLoopback",
  private: "destinations.allowPrivate",
  uniqueLocal: "destinations.allowPrivate",
}

const globalUnicast: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse("2000::"), 3]
/** NAT64 with a prefix of the network's own (RFC 8215): where the IPv4 address stands in it is not known here. */
const localNat64: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse("64:ff9b:1::"), 48]

function rangeOf(ip: Ip): string {
  if (ip.kind() === "ipv4") return ip.range()
  if (!ip.match(globalUnicast) && ip.range() === "unicast") return "reserved"
  return ip.range()
}

/** The IPv4 address that this IPv6 address leads to: v4-mapped, translated, NAT64, 6to4. */
function embedded(ip: ipaddr.IPv6): ipaddr.IPv4 | undefined {
  const bytes = ip.toByteArray()
  switch (ip.range()) {
    case "ipv4Mapped":
    case "rfc6145":
      return new ipaddr.IPv4(bytes.slice(12))
    case "rfc6052":
      return ip.match(localNat64) ? undefined : new ipaddr.IPv4(bytes.slice(12))
    case "6to4":
      return new ipaddr.IPv4(bytes.slice(2, 6))
    default:
      return undefined
  }
}

function parseIp(text: string): Ip | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text)
  return ipaddr.IPv6.isValid(text) ? ipaddr.IPv6.parse(text) : undefined
}

function parseRange(text: string): [Ip, number] | undefined {
  const slash = text.indexOf("/")
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash))
  if (ip === undefined) return undefined
  const bitsMax = ip.kind() === "ipv4" ? 32 : 128
  if (slash < 0) return [ip, bitsMax]
  const bits = /^\d{1,3}$/.test(text.slice(slash + 1)) ? Number(text.slice(slash + 1)) : Number.NaN
  return bits <= bitsMax ? [ip, bits] : undefined
}
