import { isIPv6 } from "node:net"

const coded = "%[\\dA-Fa-f]{2}"
const plain = "\\w.~!$&'()*+,;=\\-"

/** The parts of RFC 3986, appendix B, each of the characters that it may have. The look-ahead keeps it linear. */
const reference = new RegExp(
  `^(?:([A-Za-z][A-Za-z\\d+.-]*):)?(?://((?:[${plain}:@[\\]]|${coded})*)(?=[/?#]|$))?` +
    `((?:[${plain}:@/]|${coded})*)(?:\\?(?:[${plain}:@/?]|${coded})*)?(?:#(?:[${plain}:@/?]|${coded})*)?$`,
)
const userInfo = new RegExp(`^(?:[${plain}:]|${coded})*$`)
const namedHost = new RegExp(`^(?:[${plain}]|${coded})*(?::\\d*)?$`)
const literalHost = /^\[([^\]]*)\](?::\d*)?$/
const futureAddress = new RegExp(`^[vV][\\dA-Fa-f]+\\.[${plain}:]+$`)

/** Whether the text is a URI-reference (RFC 3986): a URI, or relative; the empty one is not. */
export function isUriReference(text: string): boolean {
  return text !== "" && partsOf(text) !== undefined
}

/** Whether the text is a URI with its scheme, and something behind it; a fragment is allowed. */
export function isUri(text: string): boolean {
  const scheme = partsOf(text)?.scheme
  return scheme !== undefined && text.length > scheme.length + 1
}

function partsOf(text: string): { readonly scheme: string | undefined } | undefined {
  const [whole, scheme, authority, path = ""] = reference.exec(text) ?? []
  if (whole === undefined || (authority !== undefined && !isAuthority(authority))) return undefined
  // What stands before the colon would be a scheme, and is none.
  if (scheme === undefined && authority === undefined && /^[^/]*:/.test(path)) return undefined
  return { scheme }
}

function isAuthority(text: string): boolean {
  const at = text.indexOf("@")
  if (!userInfo.test(text.slice(0, Math.max(0, at)))) return false
  const host = text.slice(at + 1)
  const literal = literalHost.exec(host)?.[1]
  return literal === undefined ? namedHost.test(host) : isAddress(literal)
}

function isAddress(literal: string): boolean {
  return (/^[\dA-Fa-f:.]*$/.test(literal) && isIPv6(literal)) || futureAddress.test(literal)
}
