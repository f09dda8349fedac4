// Search in pages that are opened from the disk: browsers start no worker there, so its script runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.scope = frame.contentWindow;
      window.addEventListener("message", (event) => {
        if (event.source === this.scope) {
          this.dispatchEvent(new MessageEvent("message", { data: event.data }));
        }
      });
      this.scope.postMessage = undefined;
      const inside = this.scope.document;
      inside.open();
      inside.write("<!doctype html><body></body>");
      inside.close();
      // What a worker's script expects of its surroundings.
      this.scope.postMessage = (data) => this.answer(data);
      this.scope.importScripts = (...urls) => Promise.all(urls.map((each) => this.load(each)));
      this.load(url).then(() => {
        this.ready = true;
        this.waiting.splice(0).forEach((data) => this.ask(data));
      });
    }
    load(url) {
      return new Promise((resolve, reject) => {
        const script = this.scope.document.createElement("script");
        script.src = url;
        script.onload = resolve;
        script.onerror = reject;
        this.scope.document.body.append(script);
      });
    }
    ask(data) {
      this.scope.dispatchEvent(new MessageEvent("message", { data }));
    }
    answer(data) {
      const event = new MessageEvent("message", { data });
      this.dispatchEvent(event);
      this.onmessage?.(event);
    }
    postMessage(data) {
      if (this.ready) this.ask(data);
      else this.waiting.push(data);
    }
    terminate() {
      this.scope.frameElement.remove();
    }
  };
}
