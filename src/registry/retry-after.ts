/**
 * Milliseconds that a `Retry-After` header asks for (RFC 9110 10.2.3: seconds or a date); undefined for anything
 * else. The caller caps it.
 */
export function retryAfterMs(header: string | string[] | undefined, epochMs: number): number | undefined {
  const text = Array.isArray(header) ? header[0] : header;
  if (text === undefined || text.length > 64) return undefined;
  if (/^\d{1,12}$/.test(text)) return Number(text) * 1000;
  if (!/^[A-Z][a-z]{2},? /.test(text)) return undefined;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - epochMs);
}
