"""What the operating system offers, with its errors translated: files, folders, locks, limits. No meaning of any file.

file_errors: what the operating system says of a file, as errors of ours with what to do about it
file_lock: locks that end with their process
file_reading: bounded reads of files that are judged by owner and mode
file_writing: private, whole and durable writes, and removing what a killed writer has left
folder_events: being told that something happened in folders, to them, or to mounts
inotify: being told that something happens in a folder
machine_id: which machine this is
open_file_limit: how many connections fit into the limit of open files
private_folder: making and judging folders that nobody else can change
process_control: core dumps, parent and child, and memory limits of this process
"""
