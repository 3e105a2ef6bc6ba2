/*
 * A worker that ends with one message: the reference page's script, gzipped. The package that holds it takes 40 MB to
 * load, which go when the worker does.
 */
import { parentPort } from "node:worker_threads"
import { gzipSync } from "node:zlib"
import reference from "@scalar/fastify-api-reference"
import fastify from "fastify"

const app = fastify()
await app.register(reference, { routePrefix: "/docs", configuration: { url: "/v1/openapi.json" } })
const { statusCode, rawPayload } = await app.inject("/docs/js/scalar.js")
if (statusCode !== 200) throw new Error(`the reference's script was answered with ${statusCode}`)
parentPort?.postMessage(gzipSync(rawPayload))
