/** Literals up to this length are looked for by the engine, whose worst case grows with the length of what is looked for. */
const nativeMax = 64

/** Where a literal first stands in a text at or after a place, or -1; in time linear in both, whatever they are. */
export function compileSearch(literal: string): (text: string, from: number) => number {
  if (literal.length <= nativeMax) return (text, from) => text.indexOf(literal, from)
  const borders = bordersOf(literal)
  return (text, from) => search(literal, borders, text, from)
}

/** For each beginning of the literal, the length of its longest proper beginning that it ends in. */
function bordersOf(literal: string): Uint32Array {
  const borders = new Uint32Array(literal.length)
  let matched = 0
  for (let at = 1; at < literal.length; at++) {
    const code = literal.charCodeAt(at)
    while (matched > 0 && literal.charCodeAt(matched) !== code) matched = borders[matched - 1]!
    if (literal.charCodeAt(matched) === code) matched++
    borders[at] = matched
  }
  return borders
}

function search(literal: string, borders: Uint32Array, text: string, from: number): number {
  let matched = 0
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at)
    while (matched > 0 && literal.charCodeAt(matched) !== code) matched = borders[matched - 1]!
    if (literal.charCodeAt(matched) !== code) continue
    if (++matched === literal.length) return at + 1 - matched
  }
  return -1
}
