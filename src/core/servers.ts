/** A server as it may be shown: without users, passwords and tokens, which may hold any letter; they end with its last `@`. */
export function shownServer(server: string): string {
  return server.replace(/^((?:nats|tls|https?|wss?):\/\/)?.*@/is, "$1")
}

/** Servers as they may be shown, with commas between them. */
export function shownServers(servers: readonly string[]): string {
  return serversIn(servers.join(",")).map(shownServer).join(", ")
}

/** The servers that a text names: a comma that no scheme follows may be one of a password, and parts nothing. */
export function serversIn(text: string): readonly string[] {
  return text.split(/,\s*(?=(?:nats|tls):\/\/)/)
}
