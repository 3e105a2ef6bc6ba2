import fc from "fast-check"
import { expect, test } from "vitest"
import { parseServerSent, type ServerSent } from "./sse.ts"

async function parse(text: string, cut: number): Promise<readonly ServerSent[]> {
  const bytes = Buffer.from(text)
  async function* parts() {
    for (let from = 0; from < bytes.length; from += cut) yield bytes.subarray(from, from + cut)
  }
  const events: ServerSent[] = []
  for await (const event of parseServerSent(parts())) events.push(event)
  return events
}

test("events come out whole, wherever the stream is cut and whatever ends its lines", async () => {
  const data = fc.string({ unit: "grapheme" }).map((text) => text.replace(/[\r\n]/g, ""))
  await fc.assert(
    fc.asyncProperty(
      fc.array(data),
      fc.constantFrom("\n", "\r\n", "\r"),
      fc.integer({ min: 1, max: 9 }),
      async (all, end, cut) => {
        const text = all.map((each, i) => `: beat${end}id: ${i}${end}data: ${each}${end}${end}`).join("")
        // A carriage return alone at the very end may be half of a pair, so one more line follows.
        const events = await parse(`${text}:${end}:`, cut)
        expect(events).toEqual(all.map((each, i) => ({ id: String(i), event: "message", data: each })))
      },
    ),
  )
})

test("lines of data are joined, names are kept, and what is no data is no event", async () => {
  expect(await parse("event: gone\ndata: a\ndata:b\n\nevent: none\n\nid: 7\ndata\n\n", 4)).toEqual([
    { id: "", event: "gone", data: "a\nb" },
    { id: "7", event: "message", data: "" },
  ])
})
