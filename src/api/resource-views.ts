import type { TSchema } from "typebox"
import type { Item } from "../core/catalog.ts"
import type { Labels } from "../core/resources.ts"
import type { Stored } from "../resources/resource-type.ts"
import type { ResourceStore, Written } from "../resources/store.ts"
import { formatEtag } from "./etag.ts"
import { type Page, PageItems, parsePageToken } from "./paging.ts"
import type { Share } from "./room.ts"

/** What the API says of one type of resource beyond what it is. */
export interface ResourceView<Resource extends Stored> {
  readonly tag: string
  /** What an answer looks like. */
  readonly output: TSchema
  /** What follows from the resource alone, and is shown wherever it is. */
  state?(resource: Resource): Record<string, unknown>
  /** What a read of one shows beyond that. */
  detail?(resource: Resource): Promise<Record<string, unknown>>
  /** How each of these fares at present, in their order: added to the `status` that a read shows. `alone`: one was asked for. */
  statuses?(resources: readonly Resource[], alone: boolean): Promise<readonly object[]>
  /** Deleting what is in use: the parameter that asks for it, and what is answered. */
  readonly forced?: { readonly description: string; readonly output: TSchema }
}

/** A resource as it is answered. */
export interface Shown {
  readonly body: Record<string, unknown>
  /** Undefined for what was only validated. */
  readonly etag: string | undefined
  /** It was not there before. */
  readonly isNew?: true
}

export interface ListQuery {
  readonly tenant: string
  readonly pageSize: number
  readonly pageToken?: string | undefined
  /** All of them have to be there. */
  readonly labels: Labels
}

/** The resources of one type as they are answered. */
export class Resources<Resource extends Stored> {
  readonly store: ResourceStore<Resource>
  readonly view: ResourceView<Resource>

  constructor(store: ResourceStore<Resource>, view: ResourceView<Resource>) {
    this.store = store
    this.view = view
  }

  show({ resource, revision, known, isNew }: Written<Resource>): Shown {
    const { id, tenant, createdAt, updatedAt } = resource
    const etag = revision === undefined ? undefined : formatEtag(revision)
    const times = { createdAt: new Date(createdAt).toISOString(), updatedAt: new Date(updatedAt).toISOString() }
    const shown = { ...this.store.type.show(resource, known), ...this.view.state?.(resource) }
    return { etag, body: { id, tenant, ...shown, ...times, ...(etag && { etag }) }, ...(isNew && { isNew }) }
  }

  /** As it is stored. */
  showItem({ value, revision }: Item<Resource>): Shown {
    return this.show({ resource: value, revision, known: value })
  }

  async get(tenant: string, id: string): Promise<Shown> {
    const item = await this.store.find(tenant, id)
    const shown = this.showItem(item)
    const [status] = (await this.view.statuses?.([item.value], true)) ?? []
    return { ...shown, body: { ...withStatus(shown.body, status), ...(await this.view.detail?.(item.value)) } }
  }

  async list({ tenant, pageSize, pageToken, labels }: ListQuery, share: Share): Promise<Page<Record<string, unknown>>> {
    const query = [tenant, this.store.type.plural, labels]
    const items = new PageItems<Record<string, unknown>>(pageSize, share)
    const listed: Resource[] = []
    await this.store.each(tenant, { labels, after: parsePageToken(query, pageToken) }, (item) => {
      const isTaken = items.add(this.showItem(item).body, item.value.id)
      if (isTaken) listed.push(item.value)
      return isTaken
    })
    const page = items.page(query)
    const statuses = (await this.view.statuses?.(listed, false)) ?? []
    share.add(JSON.stringify(statuses).length)
    return { ...page, items: page.items.map((item, i) => withStatus(item, statuses[i])) }
  }
}

function withStatus(body: Record<string, unknown>, status: object | undefined): Record<string, unknown> {
  return status === undefined ? body : { ...body, status: { ...(body.status as object | undefined), ...status } }
}
