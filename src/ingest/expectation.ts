import type { RequestListener, Server } from "node:http"

/**
 * Requests that ask before they send their body (`Expect: 100-continue`) go to `listener` like all others: it calls
 * `writeContinue` once nothing in the head speaks against the body. Any other answer ends the connection, for whether the
 * body still follows is the client's choice.
 */
export function leaveContinueTo(server: Server, listener: RequestListener): void {
  server.on("checkContinue", (request, response) => {
    const { shouldKeepAlive } = response
    const writeContinue = response.writeContinue.bind(response)
    response.shouldKeepAlive = false
    response.writeContinue = (sent) => {
      response.shouldKeepAlive = shouldKeepAlive
      writeContinue(sent)
    }
    listener(request, response)
  })
}
