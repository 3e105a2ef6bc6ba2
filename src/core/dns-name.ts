/** Whether a text is a DNS name as a host has one, by its characters. */
export function isDnsName(text: string): boolean {
  return /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(text)
}
