import type { Names } from "../names.ts"

/** What the hub's account lets the accounts of tenants ask of it. */
export interface Offer {
  readonly name: string
  /** With `*` for what differs between tenants. */
  readonly subject: string
  /** Whether one request has many answers. */
  readonly streams: boolean
}

/** All that any tenant's account may import, of its own events each: {@link tenantSubjects} says what. */
export function offers({ prefix }: Names): readonly Offer[] {
  return [
    { name: "publish", subject: `${prefix}.*.>`, streams: false },
    { name: "last", subject: `$JS.API.DIRECT.GET.*.${prefix}.*.>`, streams: false },
    { name: "pull", subject: "$JS.API.CONSUMER.MSG.NEXT.*.*", streams: true },
    { name: "consumer", subject: "$JS.API.CONSUMER.INFO.*.*", streams: false },
    { name: "settle", subject: "$JS.ACK.*.*.>", streams: true },
  ]
}

/** Something of the hub's account in a tenant's. */
export interface Grant {
  /** In the hub's account; `*` is any stream. */
  readonly subject: string
  /** In the tenant's account, where it is called otherwise. */
  readonly local?: string
}

/** What one tenant may ask whichever consumer it reads with: publish, and read the last event of a subject. */
export function tenantGrants(names: Names, tenant: string): readonly Grant[] {
  const own = tenantSubject(names, tenant)
  return [{ subject: own }, api(names, `DIRECT.GET.*.${own}`)]
}

/** What one may ask of a consumer. Its name is in the subject, and the hub alone makes consumers. */
export function consumerGrants(names: Names, consumer: string): readonly Grant[] {
  return [
    api(names, `CONSUMER.MSG.NEXT.*.${consumer}`),
    api(names, `CONSUMER.INFO.*.${consumer}`),
    { subject: `$JS.ACK.*.${consumer}.>` },
  ]
}

/** Every account has `$JS.API` for streams of its own; the hub's are in a JetStream domain called like its prefix. */
function api({ prefix }: Names, request: string): Grant {
  return { subject: `$JS.API.${request}`, local: `$JS.${prefix}.API.${request}` }
}

/** The subjects of all of a tenant's events. */
export function tenantSubject(names: Names, tenant: string): string {
  const [subject] = names.subjectsOf({ tenant })
  return subject!
}

/**
 * What a tenant's consumer is called in NATS. Neither name has a `_` in it, so that no tenant's consumer can be called like
 * another's.
 */
export function consumerName(tenant: string, consumer: string | undefined): string {
  return consumer === undefined ? `tenant_${tenant}` : `tenant_${tenant}_${consumer}`
}
