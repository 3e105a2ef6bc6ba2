import { once } from "node:events"
import { extname } from "node:path"
import { promisify } from "node:util"
import { Worker } from "node:worker_threads"
import { gunzip } from "node:zlib"
import type { ApiContext } from "./context.ts"
import { createDocument } from "./openapi.ts"
import { type App, headerOf } from "./routes.ts"

/** The page is this hub and nothing else: the browser itself refuses every other address. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ")

const configuration = {
  agent: { disabled: true },
  hideClientButton: true,
  mcp: { disabled: true },
  showDeveloperTools: "never",
  telemetry: false,
  withDefaultFonts: false,
}

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Redcar API</title>
<link rel="icon" href="data:,">
</head>
<body>
<script id="api-reference" data-url="/v1/openapi.json" data-configuration="${JSON.stringify(configuration).replaceAll('"', "&quot;")}"></script>
<script src="/docs/scalar.js"></script>
</body>
</html>
`

const open = { config: { open: true } }

/**
 * `/v1/openapi.json`, and `/docs`, the page that shows it. All is made when first asked for, once: they need no key, and
 * one buffer for everyone keeps what clients leave unread from costing memory.
 */
export function docsRoutes(app: App, context: ApiContext, register: (app: App) => void): void {
  const document = lazy(async () => Buffer.from(await createDocument(context, register)))
  const gzipped = lazy(loadScript)
  const plain = lazy(async () => promisify(gunzip)(await gzipped()))
  app.get("/v1/openapi.json", open, async (_, reply) =>
    reply
      .type("application/json; charset=utf-8")
      .header("access-control-allow-origin", "*")
      .send(await document()),
  )
  for (const path of ["/docs", "/docs/"]) {
    app.get(path, open, async (_, reply) =>
      reply.type("text/html; charset=utf-8").header("content-security-policy", contentSecurityPolicy).send(page),
    )
  }
  app.get("/docs/scalar.js", open, async (request, reply) => {
    const packed = /\bgzip\b/.test(headerOf(request, "accept-encoding") ?? "")
    const script = await (packed ? gzipped : plain)()
    reply
      .type("text/javascript; charset=utf-8")
      .header("cache-control", "public, max-age=3600")
      .header("vary", "accept-encoding")
    if (packed) reply.header("content-encoding", "gzip")
    return reply.send(script)
  })
}

async function loadScript(): Promise<Buffer> {
  const worker = new Worker(new URL(`./docs-script${extname(import.meta.url)}`, import.meta.url))
  try {
    const [script] = (await once(worker, "message")) as [Uint8Array]
    return Buffer.from(script.buffer, script.byteOffset, script.byteLength)
  } finally {
    await worker.terminate()
  }
}

/** What `make` answers, made once; a failure is forgotten, so that the next call tries again. */
function lazy<Value>(make: () => Promise<Value>): () => Promise<Value> {
  const made: { value?: Promise<Value> } = {}
  return () => {
    made.value ??= make().catch((error: unknown) => {
      delete made.value
      throw error
    })
    return made.value
  }
}
