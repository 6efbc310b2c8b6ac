/**
 * Makes containerd's envelopes of task events: topic, message and time.
 *
 * Topics and message names are containerd's (core/runtime/events.go). The Any of an event has the bare name of its
 * message as its type, without a host in front, as containerd's own shims send it.
 */
import type { BinaryWriter } from "@bufbuild/protobuf/wire";
import type { TaskEvent } from "../../contracts/task.ts";
import {
  TaskCreate,
  TaskDelete,
  TaskExecAdded,
  TaskExecStarted,
  TaskExit,
  TaskOOM,
  TaskPaused,
  TaskResumed,
  TaskStart,
} from "../generated/containerd/events/task.ts";
import type { Envelope } from "../generated/containerd/types/types.ts";
import type { Any } from "../generated/google/protobuf/any.ts";
import { toTimestamp } from "../timestamps.ts";

/** @param now when the event happened */
export function toEnvelope(event: TaskEvent, now: Date): Envelope {
  return {
    timestamp: toTimestamp(now),
    namespace: event.namespace,
    topic: `/tasks/${event.type}`,
    event: toAny(event),
  };
}

function toAny(event: TaskEvent): Any {
  const { containerId } = event;
  switch (event.type) {
    case "create":
      return createAny(event);
    case "start":
      return pack("TaskStart", TaskStart, { containerId, pid: event.pid });
    case "exit":
      return pack("TaskExit", TaskExit, {
        containerId,
        id: event.id,
        pid: event.pid,
        exitStatus: event.exitStatus,
        exitedAt: toTimestamp(event.exitedAt),
      });
    case "delete":
      return pack("TaskDelete", TaskDelete, {
        containerId,
        id: "",
        pid: event.pid,
        exitStatus: event.exitStatus,
        exitedAt: toTimestamp(event.exitedAt),
      });
    case "exec-added":
      return pack("TaskExecAdded", TaskExecAdded, { containerId, execId: event.execId });
    case "exec-started":
      return pack("TaskExecStarted", TaskExecStarted, {
        containerId,
        execId: event.execId,
        pid: event.pid,
      });
    case "paused":
      return pack("TaskPaused", TaskPaused, { containerId });
    case "resumed":
      return pack("TaskResumed", TaskResumed, { containerId });
    case "oom":
      return pack("TaskOOM", TaskOOM, { containerId });
  }
}

function createAny(event: Extract<TaskEvent, { type: "create" }>): Any {
  const { stdin, stdout, stderr, terminal } = event;
  return pack("TaskCreate", TaskCreate, {
    containerId: event.containerId,
    bundle: event.bundle,
    rootfs: event.rootfs.map((mount) => ({ ...mount, options: [...mount.options] })),
    io: { stdin, stdout, stderr, terminal },
    checkpoint: "",
    pid: event.pid,
  });
}

function pack<T>(name: string, codec: { encode(message: T): BinaryWriter }, message: T): Any {
  return { typeUrl: `containerd.events.${name}`, value: codec.encode(message).finish() };
}
