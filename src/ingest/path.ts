import { Refusal } from "./refusal.ts"

const before = "/v1/topics/"
const after = "/events"

/** The topic's part of the path, as it is coded; undefined where the path is another one. */
export function topicPart(url: string): string | undefined {
  if (!url.startsWith(before)) return undefined
  const query = url.indexOf("?")
  const end = (query < 0 ? url.length : query) - after.length
  if (end <= before.length || !url.startsWith(after, end)) return undefined
  const part = url.slice(before.length, end)
  return part.includes("/") ? undefined : part
}

/** The topic that such a part names. */
export function decodeTopic(part: string): string | Refusal {
  if (!part.includes("%")) return part
  try {
    return decodeURIComponent(part)
  } catch {
    // URIError: not percent-coded UTF-8.
    return new Refusal("invalid-argument", "the topic in the path is not percent-coded UTF-8")
  }
}
