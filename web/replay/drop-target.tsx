/** The whole page takes files that are dropped onto it. */
import { useEffect, useState } from "react";
import { useStore } from "../data/store.ts";
import { Guest } from "../parts/text.tsx";
import { openFiles, trouble } from "./open-file.ts";

export function DropTarget() {
  const isOver = useDrops();
  const problem = useStore(trouble);
  return (
    <>
      {isOver && (
        <div className="drop" aria-hidden="true">
          <p>Drop a journal or a bundle</p>
        </div>
      )}
      {problem !== undefined && (
        <div className="toast" role="alert">
          <Guest text={problem} />
          <button type="button" className="button" onClick={() => trouble.set(undefined)}>
            Close
          </button>
        </div>
      )}
    </>
  );
}

function useDrops(): boolean {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") === true;
    const over = (event: DragEvent): void => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const left = (event: DragEvent): void => {
      if (event.relatedTarget === null) setOver(false);
    };
    const dropped = (event: DragEvent): void => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(false);
      void openFiles([...(event.dataTransfer?.files ?? [])]);
    };
    addEventListener("dragover", over);
    addEventListener("dragleave", left);
    addEventListener("drop", dropped);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("dragleave", left);
      removeEventListener("drop", dropped);
    };
  }, []);
  return isOver;
}
