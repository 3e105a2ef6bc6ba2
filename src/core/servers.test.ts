import fc from "fast-check"
import { expect, test } from "vitest"
import { shownServer, shownServers } from "./servers.ts"

test.each([
  ["nats://host:4222", "nats://host:4222"],
  ["nats://hub:se/cret@host:4222", "nats://host:4222"],
  ["nats://hub:se@cret@host:4222", "nats://host:4222"],
  ["tls://to://ken@host", "tls://host"],
  ["hub:secret@host", "host"],
])("%s is shown as %s", (server, shown) => expect(shownServer(server)).toBe(shown))

test("whatever a password holds, nothing of it is shown", () => {
  const password = fc.string({ unit: fc.constantFrom("X", "Y", "@", "/", ":", ",", "?", "#", "%", "\n"), minLength: 1 })
  fc.assert(
    fc.property(password, (secret) => {
      const servers = `nats://hub:${secret}@host:4222,nats://other:4222`.split(",")
      const shown = shownServers(servers)
      expect(shown).toContain("nats://other:4222")
      expect(shown).not.toMatch(/[XY]/)
    }),
  )
})
