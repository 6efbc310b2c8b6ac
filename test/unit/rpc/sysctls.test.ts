import { describe, expect, it } from "vitest";
import { podSysctls } from "../../../src/rpc/controller/sysctls.ts";

const POD = { id: "s1", hasNetwork: true, hasUserNamespace: false };
const HOST_NETWORK = { ...POD, hasNetwork: false };
const refusal =
  (name: string, pod = POD) =>
  () =>
    podSysctls({ [name]: "1" }, pod);

describe("a pod's sysctls", () => {
  it.each([
    ...["net.ipv4.ip_forward", "net/ipv4/ip_forward", "net.ipv4.conf.eth0/100.rp_filter"],
    ...["net/ipv4/conf/eth0.100/rp_filter", "kernel.shm_rmid_forced", "kernel/sem", "kernel.msgmax"],
    ...["fs.mqueue.msg_max", "kernel.domainname"],
  ])("may be %s", (name) => {
    expect(podSysctls({ [name]: "7" }, POD)).toMatchObject({ [name]: "7" });
  });

  it.each([
    ...[
      "kernel.panic",
      "vm.swappiness",
      "fs.file-max",
      "kernel/shm",
      "kernel.shmmaxx",
      "user.max_user_namespaces",
    ],
    ...["netx.ipv4", "fs.mqueue", "vm/net.ipv4"],
  ])("are not %s", (name) => {
    expect(refusal(name)).toThrow(`sysctl "${name}" is not in a separate kernel namespace`);
  });

  it.each([
    "",
    ".",
    "net",
    "net.",
    "net..ipv4",
    "/etc/passwd",
    "net.ipv4.\0x",
    "../x.y",
    "net/ipv4/../x",
    "net/.",
  ])("have names, not %j", (name) => {
    expect(refusal(name)).toThrow(`sysctl "${name}" is not the name of a sysctl`);
  });

  it("are not those of what the pod has from its node", () => {
    expect(refusal("net.ipv4.ip_forward", HOST_NETWORK)).toThrow("not allowed in a pod with hostNetwork");
    expect(refusal("kernel.domainname", HOST_NETWORK)).toThrow("not in a separate kernel namespace");
    expect(podSysctls({ "kernel.sem": "1" }, HOST_NETWORK)).toEqual({ "kernel.sem": "1" });
  });

  it("are no larger than what the kernel reads, nor is what is said of them", () => {
    const given = (value: string) => () => podSysctls({ "net.core.somaxconn": value }, POD);
    expect(given("9".repeat(4096))).toThrow('"net.core.somaxconn" has 4096 bytes; the kernel reads 4095');
    expect(given("9".repeat(4095))).not.toThrow();
    const message = /sysctl "a{256}" is not the name of a sysctl/;
    expect(() => podSysctls({ ["a".repeat(100_000)]: "1" }, POD)).toThrow(message);
  });

  it("do not rename the pod", () => {
    expect(refusal("kernel.hostname")).toThrow("the pod has a field hostname");
  });

  it("let everybody use low ports and echo requests, as containerd has it, unless the pod says otherwise", () => {
    const [ports, icmp] = ["net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"];
    expect(podSysctls({}, POD)).toEqual({ [ports]: "0", [icmp]: "0 2147483647" });
    expect(podSysctls({}, { ...POD, hasUserNamespace: true })).toEqual({ [ports]: "0" });
    expect(podSysctls({}, HOST_NETWORK)).toEqual({});
    const own = { "net/ipv4/ip_unprivileged_port_start": "80", [icmp]: "1 0" };
    expect(podSysctls(own, POD)).toEqual(own);
  });
});
