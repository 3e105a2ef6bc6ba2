import { describe, expect, it } from "vitest"
import type { Failed, RetryRule } from "../core/delivery.ts"
import type { Trigger } from "../core/resources.ts"
import { Delivering, failed, ok } from "../testing/delivering.ts"
import { parseRetry, retryPresets } from "./policies.ts"
import { ruleFor } from "./rules.ts"

const answered = (status: number): Failed => ({
  kind: "failed",
  detail: String(status),
  permanent: false,
  response: { status, headers: {}, body: "", bodyEncoding: "utf8", bodyTruncated: false },
})
const unanswered: Failed = { ...failed, kind: "failed", cause: "connect" } as Failed
const gone: Failed = { ...answered(410), permanent: true, gone: true }
const policy = { delaysMs: [1_000], jitter: 0, attemptsMax: 4, ageMaxMs: 86_400_000 }

describe("a failure", () => {
  const rules: readonly RetryRule[] = [
    { on: ["408", "429"], do: "rest" },
    { on: ["4xx", "connect"], do: "dead" },
    { on: ["any"], do: "retry" },
  ]
  it.each([
    ["408", answered(408), "rest"],
    ["404", answered(404), "dead"],
    ["500", answered(500), "retry"],
    ["no connection", unanswered, "dead"],
    ["something else", failed as Failed, "retry"],
  ])("of %s falls under the first rule that names it", (_, outcome, action) => {
    expect(ruleFor(outcome, rules)?.do).toBe(action)
  })

  it("falls under none where none names it", () => {
    expect(ruleFor(answered(500), rules.slice(0, 2))).toBeUndefined()
    expect(ruleFor(answered(500))).toBeUndefined()
  })
})

describe("rules", () => {
  it("come beside all else of a policy, and alone they change nothing else", () => {
    const rules = [{ on: ["4xx"], do: "dead" }]
    expect(parseRetry({ rules })).toEqual({ ...retryPresets["standard-webhooks"], rules })
    expect(parseRetry({ preset: "none", rules })).toEqual({ ...retryPresets.none, rules })
  })

  it.each([
    ["rules", {}],
    ["rules[0]", ["4xx"]],
    ["rules[0].do", [{ on: ["4xx"], do: "explode" }]],
    ["rules[0].on", [{ on: [], do: "dead" }]],
    ["rules[0].on[1]", [{ on: ["404", "5x"], do: "dead" }]],
    [
      "rules[1].when",
      [
        { on: ["404"], do: "dead" },
        { on: ["405"], do: "dead", when: 1 },
      ],
    ],
  ])("that are wrong in %s are refused", (field, rules) => {
    expect(parseRetry({ rules })).toMatchObject([{ field }])
  })
})

async function hub(rules: readonly RetryRule[], outcome: Failed) {
  const hub = await Delivering.start()
  const answer = { with: outcome as Failed | typeof ok }
  await hub.connect("a", () => answer.with, { retry: { ...policy, rules } })
  return { hub, answer }
}

describe("a delivery that fails", () => {
  it("is dead at once by a rule, and not tried again", async () => {
    const { hub: it } = await hub([{ on: ["4xx"], do: "dead" }], answered(404))
    await it.owe(1, "a")
    await it.empty("a")
    expect(it.sentTo("a")).toBe(1)
    expect(await it.letters()).toMatchObject([{ reason: "permanent", attempts: 1 }])
  })

  it("is tried again by a rule, also where its destination says that it is gone", async () => {
    const { hub: it, answer } = await hub([{ on: ["410"], do: "retry" }], gone)
    await it.owe(1, "a")
    await it.machine.until(() => it.sentTo("a") === 2)
    answer.with = ok
    await it.empty("a")
    expect(it.sentTo("a")).toBe(3)
    expect((await it.engine.catalog.get<Trigger>("trigger/default/a"))!.value.paused).toBeUndefined()
  })

  it("pauses its trigger by a rule, and waits until that is resumed", async () => {
    const { hub: it } = await hub([{ on: ["connect"], do: "pause" }], unanswered)
    await it.owe(2, "a")
    const pauseOf = async () => (await it.engine.catalog.get<Trigger>("trigger/default/a"))!.value.paused
    await it.machine.until(async () => (await pauseOf()) !== undefined)
    expect((await pauseOf())!.reason).toBe("a failed, and a retry rule pauses it: 500")
    expect(await it.depth("a")).toBe(2)
    expect(await it.letters()).toEqual([])
  })

  it("lets its destination rest by a rule until it is tried again", async () => {
    const { hub: it } = await hub([{ on: ["429"], do: "rest" }], answered(429))
    await it.owe(1, "a")
    await it.machine.until(() => it.sentTo("a") === 1)
    await it.machine.run(Promise.resolve())
    await it.owe(5, "a")
    await it.machine.until(() => it.sentTo("a") >= 2)
    const [first, second] = it.sent
    expect(second!.at - first!.at).toBeGreaterThanOrEqual(1_000)
  })
})
