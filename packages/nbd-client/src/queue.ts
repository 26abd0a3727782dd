/** First in, first out. `Array.shift` moves all the others each time. */
export class Queue<T> {
  #items: (T | undefined)[] = [];
  #first = 0;

  push(item: T): void {
    this.#items.push(item);
  }

  peek(): T | undefined {
    return this.#items[this.#first];
  }

  shift(): T | undefined {
    const item = this.#items[this.#first];
    if (item === undefined) return undefined;
    this.#items[this.#first++] = undefined;
    if (this.#first === this.#items.length) this.#items = [];
    else if (this.#first < 1024 || this.#first < this.#items.length / 2) return item;
    else this.#items = this.#items.slice(this.#first);
    this.#first = 0;
    return item;
  }
}
