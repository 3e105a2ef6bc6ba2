import { splitLines } from "./input.ts"

/** The JSON lines of an answer, as they come. */
export async function* linesOf<T>(response: Response): AsyncIterable<T> {
  const splitter = splitLines()
  const decoder = new TextDecoder()
  for await (const part of response.body!) {
    for (const { json } of splitter.push(part)) yield JSON.parse(decoder.decode(json)) as T
  }
  for (const { json } of splitter.end()) yield JSON.parse(decoder.decode(json)) as T
}
