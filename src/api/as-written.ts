import { describeLoss, type Loss } from "../formats/exact-json.ts"
import { JsonScanner } from "../formats/json-scan.ts"
import { formatPath } from "../resources/check-schema.ts"
import { shortened } from "../resources/faults.ts"
import { isObject } from "../resources/merge-patch.ts"

const lost = new WeakMap<object, readonly Loss[]>()

/** Keeps what a body has lost, for a route that answers that. */
export function keepLosses(body: unknown, losses: readonly Loss[]): void {
  if (isObject(body)) lost.set(body, losses)
}

/** What a body has lost of how it was written. */
export function lossesOf(body: unknown): readonly Loss[] {
  return (isObject(body) ? lost.get(body) : undefined) ?? []
}

/** Where something was lost, as a field. */
export function fieldOf({ path }: Loss): string {
  return shortened(formatPath(path.map(String)))
}

/** What is wrong with it, and what to do. */
export function messageOf(loss: Loss): string {
  return describeLoss(loss, loss.path[0] === "filters")
}

const written = new WeakMap<object, Buffer>()
const scanner = new JsonScanner()

/** Keeps how the event is written that a body has as its member `event`, where it has one. */
export function keepEvent(body: unknown, text: string): void {
  if (!isObject(body) || !isObject(body.event)) return
  const bytes = Buffer.from(text)
  if (scanner.scanWhole(bytes, 0, bytes.length) < 0) return
  const { members } = scanner
  for (let at = 0; at < Math.min(members.length, 5 * scanner.count); at += 5) {
    const name = bytes.toString("latin1", members[at], members[at + 1])
    if (name === "event") written.set(body.event, bytes.subarray(members[at + 2], members[at + 3]))
  }
}

/** An event of a body, as it was written there: its data is what would have been published. */
export function writtenEvent(event: object): Buffer {
  return written.get(event) ?? Buffer.from(JSON.stringify(event))
}
