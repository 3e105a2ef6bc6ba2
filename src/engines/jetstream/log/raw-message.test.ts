import { expect, test } from "vitest"
import { headerOf, placeOf, statusOf } from "./raw-message.ts"
import { formatVoids, parseVoids } from "./voids.ts"

const place = { sequence: 1234567, consumerSequence: 8, storedAt: 1_795_246_291_938, pending: 42 }

test.each([
  "$JS.ACK.REDCAR_LOG_0.read_x.1.1234567.8.1795246291938295590.42",
  "$JS.ACK._.A1B2C3.REDCAR_LOG_0.read_x.1.1234567.8.1795246291938295590.42",
  "$JS.ACK.hub.A1B2C3.REDCAR_LOG_0.read_x.1.1234567.8.1795246291938295590.42.token",
])("reads where a message was: %s", (reply) => {
  expect(placeOf(Buffer.from(reply))).toEqual(place)
})

test("reads a status, and headers by their whole names", () => {
  const timeout = "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 10\r\nNats-Pending: 3\r\n\r\n"
  expect(statusOf(Buffer.from(timeout))).toBe(408)
  expect(statusOf(Buffer.from("NATS/1.0\r\na: 408\r\n\r\n"))).toBe(0)
  expect(headerOf(timeout, "Nats-Pending")).toBe("3")
  expect(headerOf(timeout, "Nats")).toBeUndefined()
})

test("writes numbers as ranges, and reads them", () => {
  expect(formatVoids([1, 2, 3, 5, 8, 9])).toBe("1-3 5 8-9")
  expect(parseVoids("1-3 5 8-9")).toEqual([
    [1, 3],
    [5, 5],
    [8, 9],
  ])
})
