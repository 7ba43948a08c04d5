// The bytes of index files: of the trained index, of a finished file around its rows, and of stock Faiss in tests.

#include "index_structure.h"
#include "storage_distances.h"
#include "guarded_call.h"

#include <algorithm>

#include <faiss/IndexFastScan.h>
#include <faiss/IndexFlatCodes.h>
#include <faiss/IndexIDMap.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFPQR.h>
#include <faiss/IndexPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/impl/FaissAssert.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>

extern "C" {

// A place in the file where rows belong.
struct FaissShimMark {
    // See MarkKind.
    uint64_t kind;
    // The number of bytes of the template before it.
    uint64_t offset;
    // Bytes per unit of the length that Faiss writes before the rows.
    uint64_t unit_bytes;
};

} // extern "C"

namespace {

using faiss_indexer::guarded;

enum MarkKind : uint64_t { LISTS = 0, FIRST_CODES = 1, SECOND_CODES = 2, ID_MAP = 3 };
enum IdMap : int32_t { NO_ID_MAP = 0, PLAIN_ID_MAP = 1, REVERSIBLE_ID_MAP = 2 };

std::unique_ptr<faiss::IndexIDMap> new_id_map(int32_t kind) {
    if (kind == REVERSIBLE_ID_MAP) {
        return std::make_unique<faiss::IndexIDMap2>();
    }
    return std::make_unique<faiss::IndexIDMap>();
}

// Writes into memory, but for the vectors that it watches and absent inverted lists: of these it keeps the place.
class TemplateWriter : public faiss::IOWriter {
  public:
    // Faiss hands a vector's memory over in one piece, right after its length, so the address identifies it.
    template <typename Vector>
    void watch(MarkKind kind, const Vector& vector) {
        watched_.push_back({kind, vector.data(), vector.size() * sizeof(*vector.data())});
    }
    void watch_lists() {
        watches_lists_ = true;
    }

    size_t operator()(const void* from, size_t size, size_t items) override {
        static constexpr char NO_LISTS[] = "il00";
        if (watches_lists_ && size * items == 4 && std::memcmp(from, NO_LISTS, 4) == 0) {
            marks_.push_back({LISTS, bytes_.size(), 0});
            return items;
        }
        for (const Watched& watched : watched_) {
            if (watched.memory == from && watched.bytes == size * items) {
                mark_after_length(watched);
                return items;
            }
        }
        const auto* begin = static_cast<const uint8_t*>(from);
        bytes_.insert(bytes_.end(), begin, begin + size * items);
        return items;
    }

    const std::vector<uint8_t>& bytes() const {
        return bytes_;
    }

    const std::vector<FaissShimMark>& marks() const {
        FAISS_THROW_IF_NOT_MSG(
                marks_.size() == watched_.size() + (watches_lists_ ? 1 : 0),
                "the places of the rows in the file were not found");
        return marks_;
    }

  private:
    struct Watched {
        MarkKind kind;
        const void* memory;
        size_t bytes;
    };

    void mark_after_length(const Watched& watched) {
        uint64_t units = 0;
        FAISS_THROW_IF_NOT_MSG(bytes_.size() >= sizeof(units), "a vector stands before any length");
        bytes_.resize(bytes_.size() - sizeof(units));
        std::memcpy(&units, bytes_.data() + bytes_.size(), sizeof(units));
        FAISS_THROW_IF_NOT_MSG(
                units > 0 && watched.bytes % units == 0, "the length of a vector does not stand before it");
        marks_.push_back({watched.kind, bytes_.size(), watched.bytes / units});
    }

    std::vector<Watched> watched_;
    bool watches_lists_ = false;
    std::vector<uint8_t> bytes_;
    std::vector<FaissShimMark> marks_;
};

// The number of rows is part of the headers of all nested indexes.
void set_rows(faiss::Index* index, int64_t rows) {
    index->ntotal = rows;
    if (auto* chain = dynamic_cast<faiss::IndexPreTransform*>(index)) {
        set_rows(chain->index, rows);
    } else if (auto* map = dynamic_cast<faiss::IndexIDMap*>(index)) {
        set_rows(map->index, rows);
    } else if (auto* refined = dynamic_cast<faiss::IndexRefine*>(index)) {
        set_rows(refined->base_index, rows);
        set_rows(refined->refine_index, rows);
    } else if (auto* packed = dynamic_cast<faiss::IndexFastScan*>(index)) {
        packed->ntotal2 = static_cast<size_t>((rows + packed->bbs - 1) / packed->bbs * packed->bbs);
    }
}

// Gives the index a code, so that there is memory to watch.
void watch_codes(faiss::Index* index, MarkKind kind, TemplateWriter& writer) {
    if (auto* packed = dynamic_cast<faiss::IndexFastScan*>(index)) {
        packed->codes.resize(static_cast<size_t>(packed->bbs) * packed->M2 / 2);
        writer.watch(kind, packed->codes);
    } else {
        auto& flat = dynamic_cast<faiss::IndexFlatCodes&>(*index);
        flat.codes.resize(flat.code_size);
        writer.watch(kind, flat.codes);
    }
}

void watch_rows(faiss::Index* index, TemplateWriter& writer) {
    faiss::Index* base = faiss_indexer::below_transforms(faiss_indexer::searched_index(index));
    if (auto* ivf = dynamic_cast<faiss::IndexIVF*>(base)) {
        ivf->replace_invlists(nullptr);
        writer.watch_lists();
        if (auto* refined = dynamic_cast<faiss::IndexIVFPQR*>(ivf)) {
            refined->refine_codes.resize(refined->refine_pq.code_size);
            writer.watch(SECOND_CODES, refined->refine_codes);
        }
    } else {
        watch_codes(base, FIRST_CODES, writer);
    }
    if (faiss::Index* refining = faiss_indexer::refining_index(index)) {
        watch_codes(refining, SECOND_CODES, writer);
    }
}

} // namespace

extern "C" {

int32_t faiss_shim_write(const faiss::Index* index, uint8_t** out, size_t* length, char** message) {
    return guarded(message, [&] {
        faiss::VectorIOWriter writer;
        faiss::write_index(index, &writer);
        faiss_indexer::hand_over(writer.data, out, length);
    });
}

// The file of `rows` rows without them: `marks` says where they belong. The index is of no further use.
int32_t faiss_shim_write_template(
        faiss::Index* index,
        int64_t rows,
        int32_t id_map,
        uint8_t** out,
        size_t* length,
        FaissShimMark* marks,
        size_t* mark_count,
        char** message) {
    return guarded(message, [&] {
        TemplateWriter writer;
        watch_rows(index, writer);
        std::unique_ptr<faiss::IndexIDMap> map = new_id_map(id_map);
        faiss::Index* outer = index;
        if (id_map != NO_ID_MAP) {
            map->d = index->d;
            map->metric_type = index->metric_type;
            map->metric_arg = index->metric_arg;
            map->is_trained = index->is_trained;
            map->index = index;
            map->own_fields = false;
            map->id_map.resize(1);
            writer.watch(ID_MAP, map->id_map);
            outer = map.get();
        }
        set_rows(outer, rows);
        faiss::write_index(outer, &writer);
        FAISS_THROW_IF_NOT(writer.marks().size() <= *mark_count);
        *mark_count = writer.marks().size();
        std::copy(writer.marks().begin(), writer.marks().end(), marks);
        faiss_indexer::hand_over(writer.bytes(), out, length);
    });
}

// All rows added by Faiss alone, at most `rows_per_call` at a time: what a build is compared with in tests.
int32_t faiss_shim_add_and_write(
        faiss::Index* index,
        int64_t rows,
        const float* vectors,
        const int64_t* ids,
        int64_t rows_per_call,
        int32_t id_map,
        uint8_t** out,
        size_t* length,
        char** message) {
    return guarded(message, [&] {
        // Training leaves a table that reading a trained index does not make.
        faiss::Index* base = faiss_indexer::below_transforms(faiss_indexer::searched_index(index));
        if (faiss::Index* storage = faiss_indexer::graph_storage_of(base)) {
            faiss_indexer::prepare_symmetric_distances(*storage);
        }
        std::unique_ptr<faiss::Index> map;
        if (id_map == PLAIN_ID_MAP) {
            map = std::make_unique<faiss::IndexIDMap>(index);
        } else if (id_map == REVERSIBLE_ID_MAP) {
            map = std::make_unique<faiss::IndexIDMap2>(index);
        }
        faiss::Index* outer = map != nullptr ? map.get() : index;
        for (int64_t first = 0; first < rows; first += rows_per_call) {
            outer->add_with_ids(std::min(rows_per_call, rows - first), vectors + first * index->d, ids + first);
        }
        faiss::VectorIOWriter writer;
        faiss::write_index(outer, &writer);
        faiss_indexer::hand_over(writer.data, out, length);
    });
}

} // extern "C"
