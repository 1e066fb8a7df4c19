#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "folder_walk.h"
#include "layer_entry.h"
#include "rooted_folders.h"

namespace lazuli {

struct LayerUnpackOptions {
  std::string root;
  /** The uncompressed archive; read at offsets. */
  int archive;
  /** Markers become overlayfs' own form, in the upper folder of an overlay; else what they hide is deleted. */
  bool isOverlay;
  /** Layers below, uppermost first: what a folder without an entry of its own looks like. */
  std::vector<std::string> parents;
};

/**
 * Makes the files of a layer in a folder, entry after entry, as containerd's archive.Apply does. The archive is a
 * stranger's: no name in it leads out of the root.
 */
class LayerUnpack {
 public:
  /** @throws SystemCallError */
  explicit LayerUnpack(LayerUnpackOptions options);

  /** @throws SystemCallError with the name as its detail; what was made stays */
  void add(const LayerEntry& entry);
  /** Gives folders their times. @throws SystemCallError: ENOENT where one was taken away again */
  void finish();

 private:
  struct FolderTime {
    std::string name;
    timespec mtime;
  };

  const FoundFolder& parentOf(std::string_view path);
  FoundFolder makeFolders(std::string_view path);
  void makeImplied(int parent, const std::string& name, const std::string& path);
  void copyFacts(int folder, const FoundFolder& parent, const std::string& name);
  void make(const LayerEntry& entry, const FoundFolder& parent, const std::string& name);
  void makeFile(const LayerEntry& entry, int parent, const std::string& name);
  void makeFolder(const LayerEntry& entry, int parent, const std::string& name);
  void makeSpecial(const LayerEntry& entry, int parent, const std::string& name);
  void makeLink(const LayerEntry& entry, int parent, const std::string& name);
  void hide(const LayerEntry& entry, int parent, const std::string& name);
  void clear(const LayerEntry& entry, const FoundFolder& folder);
  void removeOthers(const std::string& path);
  void remove(int parent, const std::string& name);
  void copyContent(const LayerEntry& entry, int file);

  LayerUnpackOptions options_;
  RootedFolders folders_;
  std::vector<std::unique_ptr<RootedFolders>> parents_;
  /** The folder of the entry before, by the path that named it. */
  std::string lastPath_;
  FoundFolder last_;
  /** True paths of what was made; kept where markers delete. */
  std::unordered_set<std::string> made_;
  std::vector<FolderTime> times_;
  std::vector<char> buffer_;
};

/** All entries in one go. @throws SystemCallError, std::invalid_argument */
void unpackLayer(const LayerUnpackOptions& options, std::span<const uint8_t> records, const CancelFlag& isCancelled);

}  // namespace lazuli
