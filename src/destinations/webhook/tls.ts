import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto"
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls"
import Type, { type Static } from "typebox"
import type { Fault } from "./fault.ts"

/** What a webhook's TLS connections have of their own; all of it is text in PEM. */
export const tlsConfig = Type.Object(
  {
    clientCertificate: Type.Optional(
      Type.String({
        maxLength: 32_768,
        description:
          "The certificate by which the receiver knows the hub (mTLS), with those between it and its issuer.",
      }),
    ),
    clientKey: Type.Optional(
      Type.String({ maxLength: 16_384, writeOnly: true, description: "Its private key, not encrypted." }),
    ),
    ca: Type.Optional(
      Type.String({
        maxLength: 65_536,
        description: "The certificates of who signed the receiver's. Default: whom Node.js trusts.",
      }),
    ),
  },
  { additionalProperties: false, description: "Certificates, as PEM texts." },
)

export type TlsConfig = Static<typeof tlsConfig>

const certificateBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** What the schema cannot say: what each text has to be, and that certificate and key belong together. */
export function checkTls({ clientCertificate, clientKey, ca }: TlsConfig, secure: boolean): readonly Fault[] {
  const faults: Fault[] = []
  const add = (field: string, message: string) => faults.push({ field: `tls.${field}`, message })
  if (!secure) faults.push({ field: "tls", message: "is for URLs that begin with https://" })
  const certificate = clientCertificate === undefined ? undefined : certificatesOf(clientCertificate)?.[0]
  const key = clientKey === undefined ? undefined : keyOf(clientKey)
  if (clientCertificate !== undefined && certificate === undefined) add("clientCertificate", noCertificate)
  if (clientKey !== undefined && key === undefined)
    add("clientKey", "is no private key in PEM, or an encrypted one: decrypt it (openssl pkey)")
  if (ca !== undefined && certificatesOf(ca) === undefined) add("ca", noCertificate)
  if (clientCertificate !== undefined && clientKey === undefined) add("clientKey", "is required with clientCertificate")
  if (clientKey !== undefined && clientCertificate === undefined) add("clientCertificate", "is required with clientKey")
  if (certificate && key && !certificate.checkPrivateKey(key))
    add("clientKey", "is not the key of the first certificate in clientCertificate")
  return faults
}

const noCertificate = "holds no certificate in PEM (-----BEGIN CERTIFICATE-----), or one that cannot be read"

function certificatesOf(text: string): readonly X509Certificate[] | undefined {
  const blocks = text.match(certificateBlock)
  try {
    return blocks?.map((block) => new X509Certificate(block))
  } catch {
    return undefined
  }
}

function keyOf(text: string): KeyObject | undefined {
  try {
    return createPrivateKey(text)
  } catch {
    return undefined
  }
}

/** What connections to the receiver are made with; undefined: nothing of its own. Throws for what {@link checkTls} refuses. */
export function receiverContext({ clientCertificate, clientKey, ca }: TlsConfig): SecureContext | undefined {
  if (clientCertificate === undefined && ca === undefined) return undefined
  return createSecureContext({
    ...(clientCertificate !== undefined && { cert: clientCertificate }),
    ...(clientKey !== undefined && { key: clientKey }),
    ...(ca !== undefined && { ca }),
  })
}

/** What connections to a token endpoint are made with: it may be signed by whom the receiver's is, or by whom Node.js trusts. */
export function endpointContext({ ca }: TlsConfig): SecureContext | undefined {
  return ca === undefined ? undefined : createSecureContext({ ca: [...getCACertificates("default"), ca] })
}
