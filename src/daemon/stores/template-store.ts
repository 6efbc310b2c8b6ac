/**
 * Opens the store of templates that the configuration describes, on a driver.
 */
import { prepareTemplateGuest, type TemplateGuestHost } from "../../actors/supply/ahead/template-guest.ts";
import type { TemplateStore } from "../../contracts/templates.ts";
import type { VmmDriver } from "../../contracts/vmm.ts";
import { LocalTemplateStore } from "../../host/templates/template-store.ts";
import type { GuestHello } from "../../protocol/guest/messages.ts";
import type { Config } from "../config/schema.ts";

/** Opens the store, which does nothing until it is asked. @param onGuest gets the hello of a new template's agent */
export function openTemplateStore(
  config: Config["template"],
  host: TemplateGuestHost & { readonly driver: VmmDriver },
  onGuest: (hello: GuestHello) => void = () => undefined,
): TemplateStore {
  return new LocalTemplateStore({
    driver: host.driver,
    directory: config.directory,
    diskLimitBytes: config.disk_limit,
    prepare: async (vm, signal) =>
      onGuest(await prepareTemplateGuest(host, vm, host.driver.templates?.diskId, signal)),
    logger: host.logger,
  });
}
