/**
 * A stream of events as the ports show it: the part of an RxJS Observable that a consumer needs.
 *
 * RxJS stays inside drivers and actors; any Observable satisfies this type. A source delivers in order, and
 * ends by `complete` (nothing more will happen) or `error` (a BlazarError), once.
 */
export interface EventObserver<T> {
  next(event: T): void;
  error(error: unknown): void;
  complete(): void;
}

export interface EventSource<T> {
  subscribe(observer: EventObserver<T>): { unsubscribe(): void };
}
