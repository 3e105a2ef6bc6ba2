import { dialects } from "./dialects.ts"
import { operatorNames } from "./pattern/matchers.ts"
import { castNames } from "./query/constants.ts"
import { queryKeywords } from "./query/parser.ts"
import { functions } from "./sql/functions.ts"
import { keywords } from "./sql/parser.ts"

/** What an editor of filters needs to know: names to complete, and what they mean. */
export const editorSupport = {
  dialects: [...dialects.keys()] as readonly string[],
  sql: {
    keywords: [...keywords, "IS", "NULL"] as readonly string[],
    functions: functions.map(({ name, signature, description, returns }) => ({
      name,
      signature,
      description,
      returns,
    })),
  },
  pattern: { operators: operatorNames },
  query: { keywords: queryKeywords as readonly string[], casts: [...castNames.keys()] as readonly string[] },
  attributes: [
    "id",
    "source",
    "type",
    "specversion",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
  ] as readonly string[],
} as const
