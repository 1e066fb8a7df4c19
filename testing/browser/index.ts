/**
 * A headless Chromium, driven over its debugging socket (Chrome DevTools Protocol).
 *
 *     await using browser = await openBrowser();
 *     const page = await browser.open("file:///tmp/report.html");
 *     await page.evaluate("document.title");
 */
export { type Browser, chromiumPath, openBrowser } from "./browser.js";
export { type Looks, Page, type PageProblem } from "./page.js";
