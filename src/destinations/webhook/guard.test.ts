import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { createAddressGuard, type GuardSettings } from "./guard.ts"

const closed: GuardSettings = { allowLoopback: false, allowPrivate: false, allow: [] }
const refusal = (address: string, settings: Partial<GuardSettings> = {}) =>
  createAddressGuard({ ...closed, ...settings }).refusal(address)

const loopback = ["127.0.0.1", "127.255.255.254", "::1"]
const privates = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1"]
const others = [
  "0.0.0.0",
  "0.1.2.3",
  "100.64.0.1",
  "100.127.255.255",
  "169.254.169.254",
  "192.0.0.1",
  "192.0.2.1",
  "192.88.99.1",
  "198.18.0.1",
  "198.51.100.1",
  "203.0.113.1",
  "224.0.0.1",
  "239.255.255.255",
  "240.0.0.1",
  "255.255.255.255",
  "::",
  "::7f00:1",
  "100::1",
  "2001:0:4136:e378:8000:63bf:3fff:fdd2",
  "2001:10::1",
  "2001:db8::1",
  "3fff::1",
  "4000::1",
  "5f00::1",
  "64:ff9b:1::a00:1",
  "fe80::1",
  "fe80::1%eth0",
  "fec0::1",
  "ff02::1",
]
const publics = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.1", "192.167.1.1"]
const publics6 = ["2606:4700:4700::1111", "2a00:1450:4001:831::200e"]

/** Every IPv6 form that leads to an IPv4 address. */
const disguises = (address: string): string[] => {
  const [a, b, c, d] = address.split(".").map(Number) as [number, number, number, number]
  const hex = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
  return [`::ffff:${address}`, `::ffff:${hex}`, `::ffff:0:${hex}`, `64:ff9b::${hex}`, `2002:${hex}::1`]
}

describe("the address guard", () => {
  test.each([...loopback, ...privates, ...others])("refuses %s", (address) => {
    expect(refusal(address)).toMatch(`${address} is refused`)
  })

  test.each([...publics, ...publics6])("lets %s through", (address) => {
    expect(refusal(address)).toBeUndefined()
  })

  test.each(["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "localhost", "", "1.2.3", "10.0.0.256", "[::1]"])(
    "refuses %j, which is no plain address",
    (text) => {
      expect(refusal(text)).toBe(`${text} is no IP address`)
    },
  )

  test("judges an IPv6 address that leads to an IPv4 address by that one", () => {
    for (const address of [...loopback, ...privates, ...others].filter((text) => text.includes("."))) {
      for (const disguise of disguises(address)) expect(refusal(disguise), disguise).toContain(`it leads to ${address}`)
    }
    for (const disguise of publics.flatMap(disguises)) expect(refusal(disguise), disguise).toBeUndefined()
  })

  test("allowLoopback opens loopback and nothing else", () => {
    for (const address of [...loopback, ...disguises("127.0.0.1")])
      expect(refusal(address, { allowLoopback: true }), address).toBeUndefined()
    for (const address of [...privates, ...others])
      expect(refusal(address, { allowLoopback: true }), address).toBeDefined()
  })

  test("allowPrivate opens private ranges and nothing else", () => {
    for (const address of [...privates, ...disguises("10.0.0.1")])
      expect(refusal(address, { allowPrivate: true }), address).toBeUndefined()
    for (const address of [...loopback, ...others])
      expect(refusal(address, { allowPrivate: true }), address).toBeDefined()
  })

  test("allow opens what it lists, in any form that leads there", () => {
    const allow = ["10.1.0.0/16", "169.254.169.254", "fd00:1::/32"]
    for (const address of ["10.1.2.3", "169.254.169.254", "fd00:1:2::3", ...disguises("10.1.2.3")])
      expect(refusal(address, { allow }), address).toBeUndefined()
    for (const address of ["10.2.0.1", "169.254.169.253", "fd00:2::1", "127.0.0.1"])
      expect(refusal(address, { allow }), address).toBeDefined()
    expect(refusal("127.0.0.1", { allow: ["0.0.0.0/0"] })).toBeUndefined()
    expect(refusal("::1", { allow: ["0.0.0.0/0"] })).toBeDefined()
  })

  test("says which setting would allow an address", () => {
    expect(refusal("127.0.0.1")).toBe(
      "127.0.0.1 is refused: a loopback address; the setting destinations.allowLoopback, or 127.0.0.1 in the setting destinations.allow, would allow it",
    )
    expect(refusal("10.0.0.1")).toContain("the setting destinations.allowPrivate, or 10.0.0.1 in")
    expect(refusal("169.254.169.254")).toBe(
      "169.254.169.254 is refused: a link-local address; 169.254.169.254 in the setting destinations.allow, would allow it",
    )
  })

  test.each(["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "example.com", "10.1/16", "::/129", ""])(
    "does not take %j for a range",
    (text) => {
      expect(() => createAddressGuard({ ...closed, allow: [text] })).toThrow(RangeError)
    },
  )

  test("no disguise changes the judgement, whatever the address", () => {
    const octet = fc.integer({ min: 0, max: 255 })
    fc.assert(
      fc.property(
        fc.tuple(octet, octet, octet, octet),
        fc.boolean(),
        fc.boolean(),
        (octets, allowLoopback, allowPrivate) => {
          const address = octets.join(".")
          const settings = { allowLoopback, allowPrivate }
          const refused = refusal(address, settings) !== undefined
          for (const disguise of disguises(address))
            expect(refusal(disguise, settings) !== undefined, disguise).toBe(refused)
        },
      ),
    )
  })
})
