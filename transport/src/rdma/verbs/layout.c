// Prints, as Rust, what <infiniband/verbs.h> says about the layout and the numbers that abi.rs repeats. Run by hand where
// libibverbs-dev is installed; its output is checked in, so that building the crate needs no header:
//   cc layout.c -o layout && ./layout > layout.rs && rustfmt layout.rs
#include <infiniband/verbs.h>
#include <stddef.h>
#include <stdio.h>

#define SIZE(type) printf("    assert!(size_of::<" #type ">() == %zu);\n", sizeof(struct type))
#define AT(type, field) printf("    assert!(offset_of!(" #type ", " #field ") == %zu);\n", offsetof(struct type, field))
// Where a field of C lies deeper than that of abi.rs.
#define DEEP(type, field, c) printf("    assert!(offset_of!(" #type ", " #field ") == %zu);\n", offsetof(struct type, c))
#define IS(name) printf("    assert!(" #name " as i64 == %lld);\n", (long long)(name))

static void objects(void) {
    AT(ibv_context, device);
    DEEP(ibv_context, poll_cq, ops.poll_cq);
    DEEP(ibv_context, req_notify_cq, ops.req_notify_cq);
    DEEP(ibv_context, post_send, ops.post_send);
    DEEP(ibv_context, post_recv, ops.post_recv);
    AT(ibv_context, cmd_fd); AT(ibv_context, async_fd); AT(ibv_context, num_comp_vectors);
    AT(ibv_mr, context); AT(ibv_mr, pd); AT(ibv_mr, addr); AT(ibv_mr, length); AT(ibv_mr, handle); AT(ibv_mr, lkey);
    AT(ibv_mr, rkey);
    AT(ibv_comp_channel, context); AT(ibv_comp_channel, fd);
    AT(ibv_cq, context);
    AT(ibv_qp, context); AT(ibv_qp, pd); AT(ibv_qp, send_cq); AT(ibv_qp, recv_cq); AT(ibv_qp, handle);
    AT(ibv_qp, qp_num);
}

static void requests(void) {
    printf("    assert!(size_of::<ibv_gid>() == %zu);\n", sizeof(union ibv_gid));
    SIZE(ibv_sge); AT(ibv_sge, addr); AT(ibv_sge, length); AT(ibv_sge, lkey);
    SIZE(ibv_send_wr); AT(ibv_send_wr, wr_id); AT(ibv_send_wr, next); AT(ibv_send_wr, sg_list);
    AT(ibv_send_wr, num_sge); AT(ibv_send_wr, opcode); AT(ibv_send_wr, send_flags); AT(ibv_send_wr, imm_data);
    DEEP(ibv_send_wr, remote_addr, wr.rdma.remote_addr); DEEP(ibv_send_wr, rkey, wr.rdma.rkey);
    SIZE(ibv_recv_wr); AT(ibv_recv_wr, wr_id); AT(ibv_recv_wr, next); AT(ibv_recv_wr, sg_list);
    AT(ibv_recv_wr, num_sge);
    SIZE(ibv_wc); AT(ibv_wc, wr_id); AT(ibv_wc, status); AT(ibv_wc, opcode); AT(ibv_wc, vendor_err);
    AT(ibv_wc, byte_len); AT(ibv_wc, imm_data); AT(ibv_wc, qp_num); AT(ibv_wc, src_qp); AT(ibv_wc, wc_flags);
    AT(ibv_wc, pkey_index); AT(ibv_wc, slid); AT(ibv_wc, sl); AT(ibv_wc, dlid_path_bits);
}

static void queue_pairs(void) {
    SIZE(ibv_qp_cap); AT(ibv_qp_cap, max_send_wr); AT(ibv_qp_cap, max_recv_wr); AT(ibv_qp_cap, max_send_sge);
    AT(ibv_qp_cap, max_recv_sge); AT(ibv_qp_cap, max_inline_data);
    SIZE(ibv_qp_init_attr); AT(ibv_qp_init_attr, qp_context); AT(ibv_qp_init_attr, send_cq);
    AT(ibv_qp_init_attr, recv_cq); AT(ibv_qp_init_attr, srq); AT(ibv_qp_init_attr, cap);
    AT(ibv_qp_init_attr, qp_type); AT(ibv_qp_init_attr, sq_sig_all);
    SIZE(ibv_global_route); AT(ibv_global_route, dgid); AT(ibv_global_route, flow_label);
    AT(ibv_global_route, sgid_index); AT(ibv_global_route, hop_limit); AT(ibv_global_route, traffic_class);
    SIZE(ibv_ah_attr); AT(ibv_ah_attr, grh); AT(ibv_ah_attr, dlid); AT(ibv_ah_attr, sl);
    AT(ibv_ah_attr, src_path_bits); AT(ibv_ah_attr, static_rate); AT(ibv_ah_attr, is_global);
    AT(ibv_ah_attr, port_num);
    SIZE(ibv_qp_attr); AT(ibv_qp_attr, qp_state); AT(ibv_qp_attr, path_mtu); AT(ibv_qp_attr, qkey);
    AT(ibv_qp_attr, rq_psn); AT(ibv_qp_attr, sq_psn); AT(ibv_qp_attr, dest_qp_num);
    AT(ibv_qp_attr, qp_access_flags); AT(ibv_qp_attr, cap); AT(ibv_qp_attr, ah_attr); AT(ibv_qp_attr, alt_ah_attr);
    AT(ibv_qp_attr, pkey_index); AT(ibv_qp_attr, max_rd_atomic); AT(ibv_qp_attr, max_dest_rd_atomic);
    AT(ibv_qp_attr, min_rnr_timer); AT(ibv_qp_attr, port_num); AT(ibv_qp_attr, timeout); AT(ibv_qp_attr, retry_cnt);
    AT(ibv_qp_attr, rnr_retry); AT(ibv_qp_attr, rate_limit);
}

static void queries(void) {
    SIZE(ibv_gid_entry); AT(ibv_gid_entry, gid); AT(ibv_gid_entry, gid_index); AT(ibv_gid_entry, port_num);
    AT(ibv_gid_entry, gid_type); AT(ibv_gid_entry, ndev_ifindex);
    SIZE(ibv_port_attr); AT(ibv_port_attr, state); AT(ibv_port_attr, max_mtu); AT(ibv_port_attr, active_mtu);
    AT(ibv_port_attr, gid_tbl_len); AT(ibv_port_attr, max_msg_sz); AT(ibv_port_attr, lid);
    AT(ibv_port_attr, active_width); AT(ibv_port_attr, active_speed); AT(ibv_port_attr, link_layer);
    AT(ibv_port_attr, flags);
    SIZE(ibv_device_attr); AT(ibv_device_attr, fw_ver); AT(ibv_device_attr, max_mr_size);
    AT(ibv_device_attr, max_qp); AT(ibv_device_attr, max_qp_wr); AT(ibv_device_attr, max_cqe);
    AT(ibv_device_attr, max_mr); AT(ibv_device_attr, max_qp_rd_atom); AT(ibv_device_attr, max_qp_init_rd_atom);
    AT(ibv_device_attr, atomic_cap); AT(ibv_device_attr, max_pkeys); AT(ibv_device_attr, phys_port_cnt);
}

static void numbers(void) {
    IS(IBV_QPT_RC); IS(IBV_QPS_INIT); IS(IBV_QPS_RTR); IS(IBV_QPS_RTS); IS(IBV_QPS_ERR);
    IS(IBV_QP_STATE); IS(IBV_QP_ACCESS_FLAGS); IS(IBV_QP_PKEY_INDEX); IS(IBV_QP_PORT); IS(IBV_QP_AV);
    IS(IBV_QP_PATH_MTU); IS(IBV_QP_TIMEOUT); IS(IBV_QP_RETRY_CNT); IS(IBV_QP_RNR_RETRY); IS(IBV_QP_RQ_PSN);
    IS(IBV_QP_MAX_QP_RD_ATOMIC); IS(IBV_QP_MIN_RNR_TIMER); IS(IBV_QP_SQ_PSN); IS(IBV_QP_MAX_DEST_RD_ATOMIC);
    IS(IBV_QP_DEST_QPN);
    IS(IBV_ACCESS_LOCAL_WRITE); IS(IBV_ACCESS_REMOTE_WRITE); IS(IBV_ACCESS_REMOTE_READ);
    IS(IBV_WR_RDMA_WRITE); IS(IBV_WR_RDMA_WRITE_WITH_IMM); IS(IBV_WR_RDMA_READ); IS(IBV_SEND_SIGNALED);
    IS(IBV_WC_RECV_RDMA_WITH_IMM); IS(IBV_PORT_ACTIVE); IS(IBV_LINK_LAYER_INFINIBAND); IS(IBV_LINK_LAYER_ETHERNET);
    IS(IBV_GID_TYPE_IB); IS(IBV_GID_TYPE_ROCE_V1); IS(IBV_GID_TYPE_ROCE_V2);
    IS(IBV_WC_SUCCESS); IS(IBV_WC_WR_FLUSH_ERR); IS(IBV_WC_REM_INV_REQ_ERR); IS(IBV_WC_REM_ACCESS_ERR);
    IS(IBV_WC_REM_OP_ERR); IS(IBV_WC_RETRY_EXC_ERR); IS(IBV_WC_RNR_RETRY_EXC_ERR);
}

int main(void) {
    puts("//! What a header of rdma-core says of [`super::abi`]. Written by `layout.c`: don't edit.\n");
    puts("use super::abi::*;\nuse std::mem::{offset_of, size_of};\n\nconst _: () = {");
    objects();
    requests();
    queue_pairs();
    queries();
    puts("};\n\nconst _: () = {");
    numbers();
    puts("};");
}
