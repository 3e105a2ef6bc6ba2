import type { AddressGuard } from "./guard.ts"

/** What URL.parse takes away. */
const oddInUrl = /^ | $|\p{Cc}/u

/** Why requests cannot go to the URL; undefined where they can, or where only its name's addresses will tell. */
export function faultOfUrl(text: string, guard: AddressGuard): string | undefined {
  if (oddInUrl.test(text))
    return "must not hold line breaks or other control characters, nor begin or end with a space; take them out"
  const url = URL.parse(text)
  if (url === null) return "is no absolute URL; an example: https://example.com/hook"
  if (url.protocol !== "http:" && url.protocol !== "https:") return "must begin with http:// or https://"
  if (url.username !== "" || url.password !== "")
    return "must not hold a user name or password; put credentials into auth"
  if (text.includes("#")) return "must not hold a fragment (#…); it would never be sent"
  const host = url.hostname.replace(/^\[|\]$/g, "")
  return /^[\d.]+$|:/.test(host) ? guard.refusal(host) : undefined
}
