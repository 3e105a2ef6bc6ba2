/** A delivery's id as `webhook-id`, which must hold no dot: the same for every attempt. */
export function webhookId(deliveryId: string): string {
  return deliveryId.replaceAll(".", "_")
}
