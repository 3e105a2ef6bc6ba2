import { expect, test } from "vitest"
import { evaluateInput } from "../eval.ts"
import type { Json } from "../view.ts"

const event = {
  specversion: "1.0",
  id: "id-1",
  source: "https://example.com/shop",
  type: "com.example.order.created",
  time: "2026-01-02T03:04:05+02:00",
  sequence: "10",
  word: "Francesco",
  flag: true,
  count: 7,
  truth: "TRUE",
  datacontenttype: "application/json",
  data: {
    order: { total: 9.5, id: "A1", note: null, open: true, "a b": 1 },
    items: [{ sku: "A1", n: 2 }, { sku: "B2" }],
    big: 3000000000,
    text: "12",
    constructor: "own",
  },
}

type Row = readonly [expression: string, value: Json, ...errors: string[]]

function check(rows: readonly Row[]): void {
  for (const [sql, value, ...errors] of rows) {
    const result = evaluateInput({ filter: { sql }, event })
    const found = { sql, value: result.value, errors: result.errors.map(({ kind }) => kind) }
    expect(found).toEqual({ sql, value, errors })
    expect(result.pass).toBe(value === true && errors.length === 0)
  }
}

test("literals", () => {
  check([
    ["TRUE", true],
    ["fAlse", false],
    ["0", 0],
    ["+7", 7],
    ["-7", -7],
    ["2147483647", 2147483647],
    ["-2147483648", -2147483648],
    ["2147483648", false, "parse"],
    ["- 2147483648", false, "parse"],
    ["'aBc'", "aBc"],
    ['"a\'b"', "a'b"],
    ["'a\"b\\'c'", "a\"b'c"],
    ["'ab\\c'", "ab\\c"],
    ["'ab\\\\'", "ab\\\\"],
    ["'open", false, "parse"],
    ["", false, "parse"],
  ])
})

test("attributes by lower-cased name, with their own types; time keeps its text", () => {
  check([
    ["id", "id-1"],
    ["WORD", "Francesco"],
    ["flag", true],
    ["count", 7],
    ["time", "2026-01-02T03:04:05+02:00"],
    ["missing", false, "missingAttribute"],
    ["data", false, "missingAttribute"],
    ["constructor", false, "missingAttribute"],
    ["my_attribute", false, "parse"],
    ["1e5", false, "missingAttribute"],
  ])
})

test("arithmetic on 32-bit integers", () => {
  check([
    ["4 * 2 + 4 / 2", 10],
    ["4 * (2 + 4) / 2", 12],
    ["5 / 3", 1],
    ["-5 / 3", -1],
    ["-5 % 3", -2],
    ["5 % -3", 2],
    ["5 / 0", 0, "math"],
    ["5 % 0", 0, "math"],
    ["4 - 1", 3],
    ["4-1", 3],
    ["4 -1", 3],
    ["4--1", 5],
    ["4 + -1", 3],
    ["-4 - 1", -5],
    ["--10", 10],
    ["-'10'", -10],
    ["-TRUE", -1],
    ["'5' + 3", 8],
    ["'5' + '3'", 8],
    ["5 + TRUE", 6],
    ["sequence + 1", 11],
    ["word + 1", 0, "cast"],
    ["' 5' + 1", 0, "cast"],
    ["'2147483648' + 1", 0, "cast"],
    ["2147483647 + 1", -2147483648, "math"],
    ["-2147483648 - 1", 2147483647, "math"],
    ["65536 * 65537", 65536, "math"],
    ["- (-2147483648)", -2147483648, "math"],
    ["-2147483648 / -1", -2147483648, "math"],
    ["+ 1", false, "parse"],
  ])
})

test("precedence: NOT binds tightest, AND, OR and XOR are one level from left to right", () => {
  check([
    ["NOT FALSE = TRUE", true],
    ["NOT TRUE", false],
    ["NOT 'FALSE'", true],
    ["NOT 10", false],
    ["NOT 'abc'", false, "cast"],
    ["false AND true OR true", true],
    ["true OR true AND false", false],
    ["true OR (true AND false)", true],
    ["true XOR true OR true", true],
    ["1 + 2 = 3 AND 2 < 3", true],
    ["- 1 + 2", 1],
    ["'3' LIKE '3' IN (true)", true],
    ["NOT EXISTS missing", true],
    ["EXISTS word = true", true],
    ["2 * 3 IN (6)", 0],
    ["1 = 1 = true", true],
  ])
})

test("AND and OR evaluate their right side only where it matters", () => {
  check([
    ["false and (1 != 1 / 0)", false],
    ["true and (1 != 1 / 0)", false, "math"],
    ["true or (1 != 1 / 0)", true],
    ["false or (1 != 1 / 0)", false, "math"],
    ["true xor true", false],
    ["true xor (1 != 1 / 0)", false, "math"],
    ["'TRUE' and 1", true],
    ["'x' or true", false, "cast"],
  ])
})

test("a missing attribute: the operation around it is not computed", () => {
  check([
    ["missing = 2", false, "missingAttribute"],
    ["missing != 2", false, "missingAttribute"],
    ["missing <> ''", false, "missingAttribute"],
    ["missing <= 2", false, "missingAttribute"],
    ["NOT missing", false, "missingAttribute"],
    ["-missing", 0, "missingAttribute"],
    ["missing / 0", 0, "missingAttribute"],
    ["missing % 0", 0, "missingAttribute"],
    ["missing LIKE 'x'", false, "missingAttribute"],
    ["missing NOT LIKE 'x'", false, "missingAttribute"],
    ["missing IN (1)", false, "missingAttribute"],
    ["missing NOT IN (1)", false, "missingAttribute"],
    ["CONCAT('a', missing)", "", "missingAttribute"],
    ["LENGTH(missing)", 0, "missingAttribute"],
    ["true AND (missing = '')", false, "missingAttribute"],
    ["false AND (missing = '')", false],
    ["EXISTS missing", false],
    ["EXISTS MISSING OR true", true],
    ["EXISTS SOURCE", true],
    ["EXISTS word", true],
  ])
})

test("equality: the right side's type decides", () => {
  check([
    ["true = 'TRUE'", false],
    ["'TRUE' = true", true],
    ["truth = true", true],
    ["true = truth", false],
    ["sequence = 10", true],
    ["sequence = '10'", true],
    ["10 = sequence", true],
    ["count = '7'", true],
    ["'abc' = 'ABC'", false],
    ["'abc' <> 'ABC'", true],
    ["word = 10", false, "cast"],
    ["word != 10", false, "cast"],
    ["'07' = count", true],
    ["1 = true", true],
    ["flag = 'true'", true],
  ])
})

test("ordering is of integers only", () => {
  check([
    ["2 <= 2", true],
    ["2 < 2", false],
    ["'10' > '9'", true],
    ["sequence >= count", true],
    ["'a' < 'b'", false, "cast", "cast"],
    ["TRUE > FALSE", true],
  ])
})

test("LIKE", () => {
  check([
    ["'abc' LIKE 'abc'", true],
    ["'abc' NOT LIKE 'abc'", false],
    ["'abc' LIKE 'a%b%c'", true],
    ["'azzzbzzzc' LIKE 'a%b%c'", true],
    ["'a%b%c' LIKE 'a\\%b\\%c'", true],
    ["'azbzc' LIKE 'a\\_b\\_c'", false],
    ["'azbzc' LIKE 'a_b_c'", true],
    ["'azbc' LIKE 'a_b_c'", false],
    ["'ab\\c' LIKE 'ab\\c'", true],
    ["'.ab.cde.' LIKE '.%.%.'", true],
    ["'ab.cde' LIKE '.%.%.'", false],
    ["'abc' LIKE 'ab*'", false],
    ["'' LIKE '%'", true],
    ["'a\nb' LIKE 'a%b'", true],
    ["'a\nb' LIKE 'a_b'", true],
    ["'😀' LIKE '_'", true],
    ["'a😀b' LIKE '%_b'", true],
    ["'ab' LIKE 'ab%b'", false],
    ["2344 LIKE '23%'", true],
    ["FALSE LIKE 'fal%'", true],
    ["word LIKE 'fran%'", false],
    ["word LIKE id", false, "parse"],
    ["word LIKE ('x')", false, "parse"],
  ])
})

test("IN: the left side's type is the target", () => {
  check([
    ["1 IN ('1', '2')", true],
    ["3 IN ('1', '2')", false],
    ["'TRUE' IN (TRUE, 'false')", false],
    ["TRUE IN ('TRUE')", true],
    ["word IN ('a', CONCAT('Fran', 'cesco'))", true],
    ["word NOT IN ('a', 'b')", true],
    ["sequence IN (10)", true],
    ["1 IN ('abc', 1)", false, "cast"],
    ["1 NOT IN ('abc', 1)", false, "cast"],
    ["1 IN (1, missing)", true],
    ["1 IN (missing, 1)", false, "missingAttribute"],
    ["1 IN ()", false, "parse"],
  ])
})

test("functions", () => {
  check([
    ["LENGTH('abc')", 3],
    ["length('😀')", 1],
    ["LENGTH(TRUE)", 4],
    ["CONCAT()", ""],
    ["CONCAT('a', 1, TRUE)", "a1true"],
    ["CONCAT_WS(',')", ""],
    ["CONCAT_WS(',', 'a', 'b')", "a,b"],
    ["CONCAT_WS()", false, "missingFunction"],
    ["NOSUCH(1)", false, "missingFunction"],
    ["NOSUCH(missing)", false, "missingFunction"],
    ["LENGTH('a', 'b')", false, "missingFunction"],
    ["ABS2(1)", false, "parse"],
    ["LOWER('AbC')", "abc"],
    ["UPPER('AbC')", "ABC"],
    ["TRIM('  a b \u0085\u3000')", "a b"],
    ["TRIM('\ufeffa')", "\ufeffa"],
    ["LEFT('abc', 2)", "ab"],
    ["LEFT('😀b', 1)", "😀"],
    ["LEFT('abc', 10)", "abc"],
    ["LEFT('abc', -2)", "abc", "functionEvaluation"],
    ["RIGHT('abc', 2)", "bc"],
    ["RIGHT('abc', 0)", ""],
    ["RIGHT('b😀', 1)", "😀"],
    ["RIGHT('abc', -2)", "abc", "functionEvaluation"],
    ["SUBSTRING('Quadratically', 5)", "ratically"],
    ["SUBSTRING('Sakila', -3)", "ila"],
    ["SUBSTRING('Sakila', -5, 3)", "aki"],
    ["SUBSTRING('abcdef', 2, 100)", "bcdef"],
    ["SUBSTRING('abc', 0)", ""],
    ["SUBSTRING('abc', 0, 1)", ""],
    ["SUBSTRING('abc', 4)", "", "functionEvaluation"],
    ["SUBSTRING('abc', -4, 1)", "", "functionEvaluation"],
    ["SUBSTRING('abc', 1, -1)", "", "functionEvaluation"],
    ["ABS(-10)", 10],
    ["ABS(-2147483648)", 2147483647, "math"],
    ["ABS(-2147483648) = 2147483647", false, "math"],
    ["INT('-1')", -1],
    ["INT(TRUE)", 1],
    ["INT('ABC')", 0, "cast"],
    ["BOOL('TRUE')", true],
    ["BOOL('ABC')", false, "cast"],
    ["BOOL(-50)", true],
    ["STRING(FALSE)", "false"],
    ["int(sequence) < 11 and STRING(count) = '7'", true],
  ])
})

test("beyond CESQL: data, decimals and null", () => {
  check([
    ["data.order.total > 9.49", true],
    ["data.order.total > 9", true],
    ["data.order.total = 9", false],
    ["data.order.total * 2 = 19", true],
    ["data.order.total / 0", 0, "math"],
    ["- data.order.total", -9.5],
    ["ABS(- data.order.total)", 9.5],
    ["data.big + 1", 3000000001],
    ["data.items[0].sku = 'A1'", true],
    ["data.items[1]['sku'] IN ('A1', data.items[1].sku)", true],
    ["data.order['a b'] = 1", true],
    ["data.order.open", true],
    ["DATA.order.open AND TRUE", true],
    ["data.Order.open", false, "missingAttribute"],
    ["data.items.sku", false, "missingAttribute"],
    ["data.items[9].sku = 'x'", false, "missingAttribute"],
    ["data.toString", false, "missingAttribute"],
    ["data.constructor", "own"],
    ["EXISTS data.order.note", true],
    ["EXISTS data.order.nothing", false],
    ["data.order.note IS NULL", true],
    ["data.order.total IS NOT NULL", true],
    ["data.order.nothing IS NULL", false, "missingAttribute"],
    ["data.order.note = NULL", true],
    ["data.order.total != null", true],
    ["data.order.note = 'x'", false],
    ["data.order.note > 1", false, "cast"],
    ["data.order = 'x'", false, "cast"],
    ["data.text > 11.5", true],
    ["data.text = 12", true],
    ["data.order.id LIKE 'A_'", true],
    ["LENGTH(data.order.id)", 2],
    ["INT(data.order.total)", 9],
    ["count > 6.5", true],
    ["null = 1", false, "missingAttribute"],
    ["1.5 + 1", 2.5],
  ])
})

test("every fault is named with line, column, what was found and what was expected", () => {
  const result = evaluateInput({ filter: { sql: "type == 'a'\n  AND (1 + ) OR word LIKE 3" }, event })
  expect(result.errors).toEqual([
    { kind: "parse", message: "filter.sql: line 1, column 7: found =, expected a value", line: 1, column: 7 },
    { kind: "parse", message: "filter.sql: line 2, column 12: found ), expected a value", line: 2, column: 12 },
    { kind: "parse", message: "filter.sql: line 2, column 27: found 3, expected a string", line: 2, column: 27 },
  ])
})

test("errors of an evaluation say where", () => {
  expect(evaluateInput({ filter: { sql: "type = 'x' OR\n  nope = 1" }, event }).errors).toEqual([
    { kind: "missingAttribute", message: "the event has no nope", line: 2, column: 3 },
  ])
})
