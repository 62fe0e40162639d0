// A list of which only the rows in sight are in the document.

const OVERSCAN = 6;

/**
 * scroller: the element that scrolls. body: in it, as high as all rows together. make(slot): a new row node.
 * bind(row, index): fills it. onWindow(first, end): the rows in sight have changed.
 */
export class VirtualList {
  constructor({ scroller, body, rowHeight, make, bind, onWindow = () => {} }) {
    Object.assign(this, { _scroller: scroller, _body: body, _make: make, _bind: bind, _onWindow: onWindow });
    this.rowHeight = rowHeight;
    this.count = 0;
    this.first = 0;
    this.end = 0;
    this._slots = [];
    this._scrollTop = 0;
    this._clientHeight = 0;
    this._head = 0;
    scroller.addEventListener("scroll", () => this._scrolled(), { passive: true });
    new ResizeObserver(() => {
      this._measured = false;
      this._schedule();
    }).observe(scroller);
    this._scheduled = false;
    this._measured = false;
    this._height = "";
  }

  /** Another number of rows, or another height. */
  resize(count, rowHeight = this.rowHeight) {
    if (rowHeight !== this.rowHeight) for (const slot of this._slots) slot.top = -1;
    this.count = count;
    this.rowHeight = rowHeight;
    const height = `${count * rowHeight}px`;
    if (this._body.style.height !== height) this._body.style.height = height;
    this._measured = this._measured && height === this._height;
    this._height = height;
    this.render();
  }

  _scrolled() {
    this._measured = false;
    this._schedule();
  }

  /** Reads what makes the browser lay out, and only if it may have changed: not with each batch of changes. */
  _measure() {
    if (this._measured) return;
    this._measured = true;
    this._scrollTop = this._scroller.scrollTop;
    this._clientHeight = this._scroller.clientHeight;
    this._head = this._body.offsetTop;
  }

  _schedule() {
    if (this._scheduled) return;
    this._scheduled = true;
    requestAnimationFrame(() => {
      this._scheduled = false;
      this.render();
    });
  }

  /** Binds the rows in sight. bind() is expected to do nothing for one that shows what it should. */
  render() {
    this._measure();
    const clientHeight = this._clientHeight;
    const top = this._scrollTop - this._head;
    const first = Math.max(0, Math.floor(top / this.rowHeight) - OVERSCAN);
    const end = Math.min(this.count, Math.ceil((top + clientHeight) / this.rowHeight) + OVERSCAN);
    this._grow(Math.ceil(clientHeight / this.rowHeight) + 2 * OVERSCAN + 2);
    const size = this._slots.length;
    for (let number = 0; number < size; number += 1) {
      const index = first + ((((number - first) % size) + size) % size);
      this._place(this._slots[number], index < end ? index : -1);
    }
    this.first = Math.max(0, Math.floor(top / this.rowHeight));
    this.end = Math.min(this.count, Math.ceil((top + clientHeight) / this.rowHeight));
    this._onWindow(this.first, this.end);
  }

  _grow(wanted) {
    while (this._slots.length < wanted) {
      const row = this._make(this._slots.length);
      row.hidden = true;
      this._body.append(row);
      this._slots.push({ row, index: -1, top: -1 });
    }
  }

  _place(slot, index) {
    slot.index = index;
    if (slot.row.hidden !== index < 0) slot.row.hidden = index < 0;
    if (index < 0) return;
    const top = index * this.rowHeight;
    if (slot.top !== top) {
      slot.top = top;
      slot.row.style.transform = `translateY(${top}px)`;
    }
    this._bind(slot.row, index);
  }

  /** The row that shows an index; null if it is out of sight. */
  rowOf(index) {
    return this._slots.find((slot) => slot.index === index)?.row ?? null;
  }

  /** Calls `visit(row, index)` for each row in the document. */
  each(visit) {
    for (const { row, index } of this._slots) if (index >= 0) visit(row, index);
  }

  toTop() {
    this._scroller.scrollTop = 0;
    this._measured = false;
  }

  /** Scrolls as little as needed. */
  reveal(index) {
    this._measured = false;
    this._measure();
    const top = index * this.rowHeight;
    const under = top + this.rowHeight + this._head - this._clientHeight;
    if (top < this._scrollTop) this._scroller.scrollTop = top;
    else if (under > this._scrollTop) this._scroller.scrollTop = under;
    this._measured = false;
    this.render();
  }
}
