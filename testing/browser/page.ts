import type { Connection, Fields } from "./connection.js";

/** What the page complained of: an exception, a line of the console, a refusal by its policy, a request. */
export interface PageProblem {
  readonly kind: "exception" | "console" | "log" | "request";
  readonly text: string;
}

export interface Looks {
  readonly width?: number;
  readonly height?: number;
  readonly media?: "screen" | "print";
  readonly scheme?: "light" | "dark";
}

export class Page {
  readonly problems: PageProblem[] = [];
  readonly #connection: Connection;
  readonly #session: string;
  readonly #url: string;
  #loaded: () => void = () => undefined;

  private constructor(connection: Connection, session: string, url: string) {
    this.#connection = connection;
    this.#session = session;
    this.#url = url;
    connection.listen(session, (method, params) => this.#note(method, params));
  }

  static async open(connection: Connection, url: string): Promise<Page> {
    const { targetId } = await connection.call("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await connection.call("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(connection, String(sessionId), url);
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await page.call(`${domain}.enable`);
    const loaded = new Promise<void>((resolve) => {
      page.#loaded = resolve;
    });
    await page.call("Page.navigate", { url });
    await loaded;
    return page;
  }

  async call(method: string, params: Fields = {}): Promise<Fields> {
    return await this.#connection.call(method, params, this.#session);
  }

  async look({ width = 1280, height = 900, media = "screen", scheme = "light" }: Looks): Promise<void> {
    await this.call("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
    const features = [{ name: "prefers-color-scheme", value: scheme }];
    await this.call("Emulation.setEmulatedMedia", { media, features });
  }

  /** The value of an expression, as JSON has it. */
  async evaluate(expression: string): Promise<unknown> {
    const answer = await this.call("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    if (answer["exceptionDetails"] !== undefined) throw new Error(JSON.stringify(answer["exceptionDetails"]));
    return (answer["result"] as Fields)["value"];
  }

  async press(key: string): Promise<void> {
    for (const type of ["keyDown", "keyUp"]) await this.call("Input.dispatchKeyEvent", { type, key });
  }

  /** PNG of the whole page. */
  async screenshot(): Promise<Buffer> {
    const { data } = await this.call("Page.captureScreenshot", { captureBeyondViewport: true });
    return Buffer.from(String(data), "base64");
  }

  #note(method: string, params: Fields): void {
    if (method === "Page.loadEventFired") this.#loaded();
    const add = (kind: PageProblem["kind"], value: unknown): void => {
      this.problems.push({ kind, text: JSON.stringify(value).slice(0, 500) });
    };
    if (method === "Runtime.exceptionThrown") add("exception", params["exceptionDetails"]);
    else if (method === "Runtime.consoleAPICalled") add("console", params["args"]);
    else if (method === "Log.entryAdded") add("log", params["entry"]);
    else if (method === "Network.requestWillBeSent") {
      const { url } = params["request"] as Fields;
      if (url !== this.#url) add("request", url);
    }
  }
}
