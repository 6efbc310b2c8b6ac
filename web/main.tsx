/**
 * The state-chart page: takes the token out of the address, then shows what the daemon tells.
 *
 * React draws it; the page never makes markup out of text.
 */
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app.tsx";
import { startRouting } from "./data/route.ts";
import { takeToken } from "./data/session.ts";
import { show } from "./data/settings.ts";
import "./styles/index.css";

takeToken();
show();
startRouting();

const queries = new QueryClient({
  defaultOptions: { queries: { retry: false, refetchOnWindowFocus: false, networkMode: "always" } },
});

const place = document.getElementById("page");
if (place !== null)
  createRoot(place).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <App />
      </QueryClientProvider>
    </StrictMode>,
  );
