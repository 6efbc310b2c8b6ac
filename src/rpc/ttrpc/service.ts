/**
 * A ttrpc service as a table: the functions that answer its methods, bound to the codecs of their messages.
 *
 * Takes ts-proto's generic definitions. The table must have a function for each method of the proto file: a forgotten
 * one is a type error. Knows neither frames nor connections.
 */
import type { BinaryWriter } from "@bufbuild/protobuf/wire";
import { blazarError, reasonOf } from "../../contracts/errors.ts";

/** What a function gets beside its request. */
export interface TtrpcCall {
  readonly connection: number;
  /** Of the call, unique in its connection. */
  readonly stream: number;
  /** It has come before, to a daemon that has died without an answer. */
  readonly replayed: boolean;
  /** Aborts when the connection is gone or the call's deadline has passed. */
  readonly signal: AbortSignal;
  /** Lower-case names; see metadata.ts. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** A method as ts-proto's generic definitions describe it. */
export interface MethodDefinition<Req, Res> {
  readonly name: string;
  readonly requestType: { decode(input: Uint8Array): Req };
  readonly responseType: { encode(message: Res): BinaryWriter };
}

/** A service as ts-proto's generic definitions describe it. */
export interface ServiceDefinition {
  readonly fullName: string;
  readonly methods: { readonly [key: string]: MethodDefinition<unknown, never> };
}

/** Answers one method. */
export type TtrpcHandler<Req, Res> = (request: Req, call: TtrpcCall) => Res | Promise<Res>;

/** One function for each method of a service, by the names of the generated definition. */
export type TtrpcHandlers<Service extends ServiceDefinition> = {
  readonly [Name in keyof Service["methods"]]: HandlerOf<Service["methods"][Name]>;
};

type HandlerOf<Method> =
  Method extends MethodDefinition<infer Req, infer Res> ? TtrpcHandler<Req, Res> : never;

/** A method with its codecs bound: bytes in, bytes out. */
export interface BoundMethod {
  readonly name: string;
  invoke(payload: Uint8Array, call: TtrpcCall): Promise<Uint8Array>;
}

/** The methods of one service. */
export interface TtrpcService {
  /** Full name, for example `containerd.task.v3.Task`. */
  readonly name: string;
  readonly methods: readonly BoundMethod[];
}

/** Binds a whole service. */
export function bindService<Service extends ServiceDefinition>(
  definition: Service,
  handlers: TtrpcHandlers<Service>,
): TtrpcService {
  const methods = Object.entries(definition.methods).map(([key, method]) =>
    bindMethod(method, handlers[key] as TtrpcHandler<unknown, never>),
  );
  return { name: definition.fullName, methods };
}

/** Binds one method. */
export function bindMethod<Req, Res>(
  definition: MethodDefinition<Req, Res>,
  handle: TtrpcHandler<Req, Res>,
): BoundMethod {
  return {
    name: definition.name,
    async invoke(payload, call) {
      const request = decodeRequest(definition, payload);
      return definition.responseType.encode(await handle(request, call)).finish();
    },
  };
}

function decodeRequest<Req>({ name, requestType }: MethodDefinition<Req, never>, payload: Uint8Array): Req {
  try {
    return requestType.decode(payload);
  } catch (cause) {
    throw blazarError("InvalidArgument", "read the request", reasonOf(cause), { subject: name, cause });
  }
}
