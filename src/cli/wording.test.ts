import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { createServer as createTlsServer, type Server } from "node:https"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { openTestApi, type TestApi } from "../api/api.fixture.ts"
import { runCli, shellWords } from "./terminal.fixture.ts"

let api: TestApi
let home: string

beforeAll(async () => {
  api = await openTestApi()
  home = mkdtempSync(join(tmpdir(), "redcar-wording-"))
  writeFileSync(join(home, "t.yaml"), "topic: orders\ndestination: shop\nretry: {preset: relay, jitter: 7}\n")
  writeFileSync(join(home, "latin.yaml"), Buffer.from("description: B\xfccher\n", "latin1"))
  writeFileSync(join(home, "slip.yaml"), "topic: orders\ndestinaton: shop\n")
  writeFileSync(join(home, "webhook.yaml"), "kind: webhook\nconfig: {url: 'https://x/', batch: {eventMax: 1}}\n")
  writeFileSync(join(home, "start.yaml"), "topic: orders\ndestination: shop\nstart: 10m\n")
  writeFileSync(join(home, "twice.json"), '{"topic": "orders", "topic": "b"}')
  writeFileSync(join(home, "bad.yaml"), "a: [1\nb: 2\n")
  writeFileSync(join(home, "t.ndjson"), '{"specversion":"1.0","id":"1","source":"/s","type":"t"}\n')
  await api.call("POST", "/v1/topics", { id: "orders" })
  await api.call("POST", "/v1/destinations", { id: "shop", kind: "webhook", config: { url: "https://example.com/" } })
  const config = { url: "https://example.com/", auth: { bearer: { token: "t" } } }
  await api.call("POST", "/v1/destinations", { id: "known", kind: "webhook", config })
  await api.call("POST", "/v1/triggers", { id: "paid", topic: "orders", destination: "shop" })
})
afterAll(async () => {
  rmSync(home, { recursive: true })
  await api.close()
})

const make = "trigger create t --topic orders --destination shop"

test.each([
  ["destination create d --kind webhook --mode binary", "--to is required"],
  ["destination create d --kind webhook --to foo", "--to is no absolute URL; an example: https://example.com/hook"],
  ["destination create d --kind topic --to 'A b'", "a topic's name is 1 to 50 of a-z, 0-9, _ and -"],
  [
    "destination create d --kind webhook --to http://x/ --set y=1",
    "--set y is not known here; the fields are url, mode",
  ],
  [
    `destination create d --kind webhook --to https://x/ --auth '{"oidc": {"audence": "a"}}'`,
    "--auth oidc.audence is not known here; the fields are audience\nDid you mean audience?",
  ],
  [
    `destination create d --kind webhook --to https://x/ --set 'auth={"oidcc": {}}'`,
    "--set auth oidcc is not known here",
  ],
  [`destination create d --kind webhook --to https://x/ --batch '{"waitMs": -1}'`, "--batch waitMs must be >= 0"],
  ["destination create d --file ~/webhook.yaml", "config.batch.eventMax in ~/webhook.yaml is not known here"],
  [
    `destination create d --kind webhook --to https://x/ --auth '{"oidc": {}}'`,
    "--auth oidc needs the setting publicUrl, which says who has signed the tokens: https://hub.example.com\nSet it: redcar",
  ],
  [`topic create t --retention-rules '[{"eventsMax": 1}]'`, "--retention-rules [0].filters is required"],
  ["topic prune orders --dry-run --exact type=a", "--exact says no limit: ageMax, eventsMax or bytesMax"],
  [
    "destination update known --to https://other/",
    "--auth bearer.token must be given again: --to goes to another host",
  ],
  ["schedule create s --topic orders --cron '* * * * *'", "--type is required"],
  [`${make} --retry-rule 40x=rest`, "--retry-rule must be a status"],
  ["destination create d --kind webhook --to https://x/ --timeout-ms 0", "--timeout-ms must be "],
  ["destination create d --kind webhook --to https://x/ --rate 0", "--rate must be "],
  [
    "destination create shop --kind webhook --to https://x/",
    'there is a destination "shop" already\nChoose another id, or',
  ],
  [
    "destination get shp",
    'there is no destination "shp"\nDid you mean shop?\nList what there is: redcar destination list',
  ],
  ["destination delete shp --yes", 'there is no destination "shp"\nDid you mean shop?'],
  [
    "destination delete shop --yes",
    "destination shop is used by trigger paid; delete or change the triggers first (--backlog move brings along what",
  ],
  ["topic delete orders --yes", "topic orders is read by trigger paid; delete or change them first"],
  ["topic get order", 'there is no topic "order"\nDid you mean orders?'],
  ["topic create 'A b'", "<id> must be 1 to 50 of a-z, 0-9, _ and -"],
  ["topic create t --retention-age 0s", "--retention-age must be more than 0"],
  ["topic create redcar.attempts", "<id> is the hub's own\nChange it: redcar topic update <topic>"],
  ["topic update orders --wrap-source ''", "--wrap-source must "],
  ["topic list --label 'a b=1' --limit 5", ""],
  [`${make} --destination shp`, 'there is no destination "shp"; create it first\nDid you mean shop?'],
  ["trigger create t --topic orders", "--destination is required"],
  ["trigger create t --destination shop", "--topic is required"],
  ["trigger create t --topic 'A b' --destination shop", "a topic's name is 1 to 50 of a-z"],
  [`${make} --sql 'type = 1' --sql 'type ='`, "--sql: line 1, column 7: found the end, expected a value"],
  [`${make} --exact a.b=1`, "--exact a.b is not an attribute's name"],
  [`${make} --exact type=a --query 'type =='`, "--query: line 1, column"],
  [`${make} --pattern '{"type": "a"}'`, "--pattern type must be an array of va"],
  [`${make} --filter '{"nonsense": 1}'`, "--filter"],
  [`${make} --filters '[{"exact": {"type": 1}}]'`, "--filters exact.type"],
  [`${make} --retry-delays 1x`, "--retry-delays is not a duration"],
  [`${make} --retry relay --retry-jitter 7`, "--retry-jitter must be a number from 0 to 1"],
  [`${make} --start 00000zzzzzz`, "--start is beyond the end of the log"],
  [`${make} --retry-delays 1x --retry-jitter 7`, "2 things are wrong\n  --retry-delays is not a dur"],
  ["topic create t --file ~/latin.yaml", "latin.yaml is not UTF-8 at byte 14"],
  ["trigger explain paid --event ~/latin.yaml", "latin.yaml is not UTF-8 at byte 14"],
  ["trigger create t --file ~/t.yaml", "retry.jitter in ~/t.yaml must be a number from 0 to 1"],
  ["trigger create t --file ~/t.yaml --retry relay --retry-jitter 8", "--retry-jitter must be a number from 0 to 1"],
  [
    "trigger create t --file ~/slip.yaml --dry-run",
    "2 things are wrong\n  destination in ~/slip.yaml is required\n  destinaton",
  ],
  ["trigger create t --file ~/slip.yaml --dry-run", "Did you mean destination?"],
  ["trigger create t --file ~/twice.json", "~/twice.json has a member twice at line 1, column "],
  ["trigger create t --file ~/bad.yaml", "~/bad.yaml is neither JSON nor YAML: "],
  ["trigger create started --file ~/start.yaml --dry-run", ""],
  ["topic get b", 'there is no topic "b"\nList what there is'],
  ["topic update orders --retention-age 1m", "--retention-age is shorter than trigger paid goes on trying"],
  ["topic update orders --retention-age 1m", "\nShorten that first: redcar trigger update <id> --retry-age-max"],
  ["trigger create 'T 1' --topic orders --destination shop", "<id> must be 1 to 63 of a-z, 0-9 and -"],
  ["trigger create paid --topic orders --destination shop", 'there is a trigger "paid" already\nChoose another id, or'],
  ["trigger get pad", 'there is no trigger "pad"\nDid you mean paid?\nList what there is: redcar trigger list'],
  ["trigger pause pad", 'there is no trigger "pad"\nDid you mean paid?'],
  ["trigger update paid --destination sho", 'there is no destination "sho"; create it first\nDid you mean shop?'],
  ["trigger update paid --if-match x --description y", "trigger paid has changed: it is not at the etag of --if-match"],
  ["trigger dry-run pid", 'there is no trigger "pid"\nDid you mean paid?'],
  ["trigger explain paid --cursor xyz", '"xyz" is no cursor of this hub: one has eleven of 0-9 and a-z'],
  ["tail ordrs", 'there is no topic "ordrs"\nDid you mean orders?\nList what there is: redcar topic list'],
  ["tail orders --no-follow --sql 'type ='", "--sql: line 1, column 7"],
  ["event cancel 000000000ko", "published or cancelled\nSee what waits: redcar event delayed"],
  ["subscription get pad", 'there is no subscription "pad"\nList what there is: redcar subscription list'],
  ["schedule get pad", 'there is no schedule "pad"\nList what there is: redcar schedule list'],
  ["replay get pad", 'there is no replay "pad"\nList what there is: redcar replay list'],
  ["queue status pad", "there is no"],
  ["event get xyz", '"xyz" is no cursor of this hub: one has eleven of 0-9 and a-z'],
  [
    "event get order-17",
    "one has eleven of 0-9 and a-z, as publishing and reading answer it\nIf it is an event's id: redcar event find order-17",
  ],
  ["publish orders 1 --type t --key rck_wrong", "the hub does not know the key\nIt came from --key"],
  ["publish orders --file ~/t.ndjson --key rck_wrong", "the hub does not know the key\nIt came from --key"],
  ["event get 00000000001", 'there is no event at "00000000001", or retention has dropped it'],
  ["dead-letter get x", 'there is no dead letter "x"; it may have been redriven'],
  [
    "topic list --key rck_wrong",
    "the hub does not know the key\nIt came from --key, and is not this hub's.\nGive another",
  ],
])("%s", async (line, message) => {
  const words = shellWords(line).map((word) => word.replace(/^~/, home))
  const key = line.includes("--key") ? [] : ["--key", "admin"]
  const { err } = await runCli([...words, "--url", api.url, ...key])
  expect(err).not.toContain("\\n")
  if (message === "") expect(err).toBe("")
  expect(err.replaceAll(home, "~").replace(/^error: /, "")).toEqual(expect.stringContaining(message))
  expect(err).not.toMatch(
    /\/v1\/|\b(GET|POST|PUT|PATCH|If-Match|Authorization)\b|errors names|config\.(?!\S+ in )|filters\[|body/,
  )
  const [first = "", ...rest] = err.replace(/^error: /, "").split("\n")
  expect(rest.filter((each) => first !== "" && each.includes(first))).toEqual([])
})

test("for programs the problem is there as the hub told it, and the message in the words of the command line", async () => {
  const { err } = await runCli(["trigger", "get", "pad", "--url", api.url, "--key", "admin", "--json"])
  const { error } = JSON.parse(err) as { error: object }
  expect(error).toMatchObject({
    message: 'there is no trigger "pad"',
    next: ["Did you mean paid?", "List what there is: redcar trigger list"],
    problem: { code: "not-found", detail: 'there is no trigger "pad"; GET /v1/triggers lists what there is' },
  })
})

test("a topic that is made by a slip is told where a near one is there, and made all the same", async () => {
  const hub = ["--url", api.url, "--key", "admin"]
  const warning = "There was no topic order yet: it is made now. Did you mean orders?\n"
  const { code, err } = await runCli([
    "trigger",
    "create",
    "slip",
    "--topic",
    "order:1",
    "--destination",
    "shop",
    ...hub,
  ])
  expect([code, err]).toEqual([0, warning])
  const again = await runCli(["trigger", "create", "slip-2", "--topic", "order", "--destination", "shop", ...hub])
  expect([again.code, again.err]).toEqual([0, ""])
  const far = await runCli(["trigger", "create", "far", "--topic", "payments", "--destination", "shop", ...hub])
  expect([far.code, far.err]).toEqual([0, ""])
})

test.each([
  [404, "File not found", "is no Redcar hub: 404 Not Found: File not found", "Say where the hub is: --url"],
  [401, "", "is no Redcar hub: 401 Unauthorized", "Say where the hub is: --url"],
  [200, "<html>", "is no Redcar hub: it answers 200 OK, but not with JSON", "Say where the hub is: --url"],
  [502, "<html>nginx</html>", "a proxy answers at URL, and no hub behind it: 502 Bad Gateway", "docs/proxy.md"],
  [400, "Client sent an HTTP request to an HTTPS server.", "speaks TLS alone", "Say so: --url https://"],
  [400, "<html>\nThe plain HTTP request was sent to HTTPS port", "speaks TLS alone", "Say so: --url https://"],
  [400, "", "is no Redcar hub: 400 Bad Request", "If it speaks TLS, say so: --url https://"],
])("an answer of no hub, %d %s, is told to be one", async (status, text, message, next) => {
  const server = createServer((_, response) => void response.writeHead(status).end(text))
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  try {
    for (const words of ["topic list", "publish orders 1 --type t", `publish orders --file ${home}/t.ndjson`]) {
      const { code, err } = await runCli([...words.split(" "), "--url", url, "--key", "rck_x"])
      expect(code).toBe(3)
      expect(err.replaceAll(url, "URL")).toContain(message)
      expect(err).toContain(next)
    }
  } finally {
    server.close()
  }
})

test("a URL with the API's own path is told without it", async () => {
  const { code, err } = await runCli(["topic", "list", "--url", `${api.url}/v1`, "--key", "admin"])
  expect([code, err]).toEqual([
    3,
    `error: ${api.url}/v1 is no hub's URL: /v1 is the hub's own\nLeave that out: --url ${api.url}\n`,
  ])
})

test("TLS where there is none, and none where there is TLS, is told with the URL to use", async () => {
  const https = api.url.replace("http:", "https:")
  const { code, err } = await runCli(["topic", "list", "--url", https])
  expect([code, err]).toEqual([
    3,
    `error: what answers at ${https} speaks no TLS\nSay so: --url ${api.url}, or the variable REDCAR_URL\n`,
  ])
  const server: Server = createTlsServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const plain = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  try {
    const other = await runCli(["topic", "list", "--url", plain])
    expect(other.err).toContain(`If it speaks TLS, say so: --url ${plain.replace("http:", "https:")}\n`)
  } finally {
    server.close()
  }
})
